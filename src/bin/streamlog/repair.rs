//! `streamlog repair`: says what a repair gives up, and makes it.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use streamlog::Repair;

use crate::check::{Bar, ProblemShown, counted, problems};
use crate::failure::{Failure, Result};
use crate::open;

/// Makes a damaged directory one that opens, with every entry that can still be read
///
/// Says first what is given up, and asks; where there is nobody to ask, nothing is changed without --yes. The originals of
/// all that changes are kept in the directory, in `repair-1` or the next number that is free.
///
/// Examples:
///
///   streamlog repair ./data --dry-run
///   streamlog repair ./data --yes
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The directory
    dir: PathBuf,
    /// Only says what would be done
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Does not ask
    #[arg(long)]
    yes: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Shown<'a> {
    repaired: bool,
    problems: Vec<ProblemShown<'a>>,
    changes: Vec<ChangeShown<'a>>,
    originals: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct ChangeShown<'a> {
    file: &'a str,
    what: &'a str,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    open::is_there(&args.dir)?;
    let mut repair = repaired(args, !args.yes)?;
    let mut done = args.yes;
    let nothing = repair.originals.is_none();
    if !args.json {
        say(&told(&args.dir, &repair, args.yes))?;
    }
    if !nothing && !args.yes && !args.dry_run {
        if !args.json && io::stdin().is_terminal() {
            done = asked()?;
        }
        if !done {
            let text = "nothing was changed: `--yes` carries the repair out, `--dry-run` only shows it";
            return Err(Failure::new(format!("{}: {text}", args.dir.display())));
        }
        repair = repaired(args, false)?;
        say("repaired")?;
    }
    if args.json {
        say(&json(&repair, done && !nothing)?)?;
    }
    Ok(())
}

fn repaired(args: &Args, dry_run: bool) -> Result<Repair> {
    let bar = Bar::new(args.json);
    let repair = streamlog::repair_with(&args.dir, dry_run, |progress| bar.show(progress));
    bar.finish();
    repair.map_err(|error| Failure::in_dir(&args.dir, &error))
}

fn say(text: &str) -> Result<()> {
    writeln!(io::stdout().lock(), "{text}").map_err(Failure::output)
}

fn asked() -> Result<bool> {
    let mut out = io::stderr().lock();
    write!(out, "Go on? [y/N] ").and_then(|()| out.flush()).map_err(Failure::output)?;
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| Failure::new(format!("reading the answer: {error}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn told(dir: &Path, repair: &Repair, done: bool) -> String {
    let Some(originals) = &repair.originals else { return format!("{}: whole: nothing to repair", dir.display()) };
    let mut lines = vec![format!("{}: {}", dir.display(), counted(repair.problems.len() as u64, "problem"))];
    lines.extend(repair.problems.iter().map(|problem| format!("PROBLEM: {problem}")));
    lines.extend(repair.changes.iter().map(|change| format!("  {change}")));
    let tense = if done { "are" } else { "will be" };
    lines.push(format!("the originals {tense} in {}", dir.join(originals).display()));
    lines.join("\n")
}

fn json(repair: &Repair, repaired: bool) -> Result<String> {
    let changes = repair.changes.iter().map(|change| ChangeShown { file: &change.file, what: &change.what });
    let shown = Shown {
        repaired,
        problems: problems(&repair.problems),
        changes: changes.collect(),
        originals: repair.originals.as_deref(),
    };
    serde_json::to_string_pretty(&shown).map_err(|error| Failure::new(format!("encoding: {error}")))
}
