//! Short workloads, crashed at every operation of the disk that they come to, with every kind of survival.

use streamlog::sim::{SimDisk, Survival};

use super::trial::{Ran, Setup, Trial, Verdict};
use super::workload::Letter;

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

    /// A trial with what comes before done, and the operations of the disk until then.
    fn begin(self) -> Verdict<(Trial, u64)> {
        let mut trial = Trial::new(self.setup, SimDisk::new(1));
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
            let disk = SimDisk::new(1);
            disk.crash_at(at);
            Trial::new(self.setup, disk)
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
            trial.check_files()?;
            trial.drain(false)?;
            Ok(1 + trial.recoveries_crashed)
        };
        let verdict: Verdict<u64> = run();
        verdict.map_err(|complaint| {
            let names: Vec<_> = self.letters.iter().map(|letter| letter.0).collect();
            let text = format!("{names:?} crashed at {at} with {survival:?}, and within {within:?}");
            format!("{text}: {complaint}\n{:?}\n{}", self.setup, trial.log.join("\n"))
        })
    }
}
