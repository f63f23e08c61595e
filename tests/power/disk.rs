//! A disk whose power can be cut: ext4 in a file, mounted through a loop device, and shut down by force. What was not
//! synced is then gone, as after a loss of power. Needs Linux, root, and what Debian's base has.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::ledger::CUT;

/// Room for all that a directory of small files needs.
const BYTES: u64 = 256 << 20;

/// `EXT4_IOC_SHUTDOWN`, which takes how: perl has an `ioctl`, and this crate forbids itself the unsafe call. A
/// line into a child's own pipe comes right before it: a sync that the cut meets may return as if it had been done, for a system
/// whose disk is gone lives on, and nobody would hear of that were it the power.
const SHUT_DOWN: &str = r#"
    use Fcntl;
    my ($path, $how, $line, $child) = @ARGV;
    sysopen(my $root, $path, O_RDONLY) or die "opening $path: $!";
    if ($child) {
        sysopen(my $pipe, "/proc/$child/fd/1", O_WRONLY) or die "opening the child's pipe: $!";
        syswrite($pipe, "$line\n") or die "telling of the cut: $!";
    }
    ioctl($root, 0x8004587d, pack("L", $how)) or die "shutting down: $!";
"#;

/// How the power goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    /// The file system's own journal is written out first: names and lengths may outlive what they name.
    LogFlushed = 1,
    /// At once.
    AtOnce = 2,
}

#[derive(Debug)]
pub(crate) struct Disk {
    directory: tempfile::TempDir,
    mounted: bool,
}

impl Disk {
    /// Makes a disk and cuts its power once; says why not if it cannot be done here.
    pub(crate) fn new() -> Result<Disk, String> {
        if !cfg!(target_os = "linux") {
            return Err("this is not Linux".to_owned());
        }
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut disk = Disk { directory, mounted: false };
        let image = std::fs::File::create(disk.image()).map_err(|error| error.to_string())?;
        image.set_len(BYTES).map_err(|error| error.to_string())?;
        std::fs::create_dir(disk.root()).map_err(|error| error.to_string())?;
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(disk.image()))?;
        disk.mount()?;
        disk.cut(Cut::AtOnce, None)?;
        disk.unmount()?;
        disk.mount()?;
        Ok(disk)
    }

    fn image(&self) -> PathBuf {
        self.directory.path().join("image")
    }

    /// Where it is mounted.
    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// Cuts the power. Nothing can be written from now on; it comes back by mounting again. In what `child` says there is a
    /// line [`CUT`]: what comes before it was said while there was power.
    pub(crate) fn cut(&self, how: Cut, child: Option<&Child>) -> Result<(), String> {
        let mut command = Command::new("perl");
        command.args(["-e", SHUT_DOWN]).arg(self.root()).args([&(how as u32).to_string(), CUT]);
        command.args(child.map(|child| child.id().to_string()));
        run(&mut command)
    }

    pub(crate) fn mount(&mut self) -> Result<(), String> {
        run(Command::new("mount").args(["-t", "ext4", "-o", "loop"]).arg(self.image()).arg(self.root()))?;
        self.mounted = true;
        Ok(())
    }

    /// The loop device that `mount` took goes with it.
    pub(crate) fn unmount(&mut self) -> Result<(), String> {
        run(Command::new("umount").arg(self.root()))?;
        self.mounted = false;
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted && self.unmount().is_err() {
            // Whoever still has a file open there: it goes when that is closed.
            drop(run(Command::new("umount").arg("-l").arg::<&Path>(&self.root())));
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Err(error) => Err(format!("{program}: {error}")),
        Ok(output) if !output.status.success() => {
            Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
        }
        Ok(_) => Ok(()),
    }
}
