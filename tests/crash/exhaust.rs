//! Short workloads, crashed at every operation of the disk that they come to, with every kind of survival.

use streamlog::sim::{SimDisk, Survival};

use super::broken::Broken;
use super::trial::{Ran, Setup, Trial, Verdict};
use super::workload::{BEGUN, Letter};

/// Every kind, the random ones with a few seeds.
pub(crate) const SURVIVALS: [Survival; 9] = [
    Survival::Kill,
    Survival::Nothing,
    Survival::All,
    Survival::Prefix(1),
    Survival::Sectors(1),
    Survival::Sectors(2),
    Survival::Sectors(3),
    Survival::Torn(1),
    Survival::Torn(2),
];

/// What is done after each crash.
const GOING_ON: Letter = BEGUN[0];

/// Few, where many workloads are tried.
pub(crate) const KILL_OR_SECTORS: [Survival; 2] = [Survival::Kill, Survival::Sectors(1)];

/// A workload and how it is crashed.
#[derive(Clone, Copy)]
pub(crate) struct Exhaust<'a> {
    pub(crate) setup: Setup,
    /// Done before the first crash.
    pub(crate) begun: &'a [Letter],
    pub(crate) letters: &'a [Letter],
    pub(crate) survivals: &'a [Survival],
    pub(crate) broken: Broken,
    /// Whether the recovery is crashed too, at every operation of its own, and the power lost then.
    pub(crate) in_recovery: bool,
}

impl Exhaust<'_> {
    /// Runs it; returns how many crashes that were.
    pub(crate) fn run(self) -> Verdict<u64> {
        let (mut whole, first) = self.begin()?;
        self.finish(&mut whole)?;
        let end = whole.disk.operations();
        let mut crashes = 0;
        // One past the end: the crash comes when all is done.
        for at in first + 1..=end + 1 {
            for &survival in self.survivals {
                crashes += self.crash(at, survival, None)?;
                if self.in_recovery {
                    let mut within = 1;
                    // Until the recovery comes to its end before its crash.
                    while self.crash(at, survival, Some(within))? == 2 {
                        within += 1;
                    }
                    crashes += 2 * within;
                }
            }
        }
        Ok(crashes)
    }

    fn setup(self) -> Setup {
        Setup { sabotage: self.broken.engine(), ..self.setup }
    }

    fn disk(self) -> SimDisk {
        let disk = SimDisk::new(1);
        self.broken.lie_on(&disk);
        disk
    }

    /// A trial with what comes before done, and the operations of the disk until then.
    fn begin(self) -> Verdict<(Trial, u64)> {
        let mut trial = Trial::new(self.setup(), self.disk());
        trial.watched = false;
        for letter in self.begun {
            let op = letter.1(trial.model.now());
            trial.run(&op)?;
        }
        let operations = if self.begun.is_empty() { 0 } else { trial.disk.operations() };
        Ok((trial, operations))
    }

    fn finish(self, trial: &mut Trial) -> Verdict {
        for letter in self.letters {
            let op = letter.1(trial.model.now());
            if trial.live.is_none() || trial.run(&op)? == Ran::Crashed {
                break;
            }
        }
        Ok(())
    }

    /// Crashes at operation `at` of the disk, and again at the operation `within` of the recovery. Returns how many
    /// crashes there were.
    fn crash(self, at: u64, survival: Survival, within: Option<u64>) -> Verdict<u64> {
        let mut trial = if self.begun.is_empty() {
            let disk = self.disk();
            disk.crash_at(at);
            Trial::new(self.setup(), disk)
        } else {
            let trial = self.begin()?.0;
            trial.disk.crash_at(at);
            trial
        };
        trial.watched = false;
        let mut run = || {
            self.finish(&mut trial)?;
            let again: Vec<_> = within.map(|within| (within, Survival::Sectors(at + within))).into_iter().collect();
            trial.crash(survival, &again)?;
            let crashes = 1 + trial.recoveries_crashed;
            trial.check_files()?;
            // What it does from now on comes back, too.
            trial.run(&(GOING_ON.1)(trial.model.now()))?;
            trial.crash(Survival::Kill, &[])?;
            trial.drain(false)?;
            Ok(crashes)
        };
        let verdict: Verdict<u64> = run();
        verdict.map_err(|complaint| {
            let names: Vec<_> = self.letters.iter().map(|letter| letter.0).collect();
            let text = format!("{names:?} crashed at {at} with {survival:?}, and within {within:?}");
            format!("{text}: {complaint}\n{:?}\n{}", self.setup, trial.log.join("\n"))
        })
    }
}
