//! A server process that never outlives its test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Error, Result};
use parts::Doing;

/// Lines of a log that an error quotes.
const QUOTED_LINES: usize = 25;
const POLL: Duration = Duration::from_millis(50);

/// A running server. Dropping it kills the process and waits for its end.
///
/// The process holds the read end of a pipe as its standard input and ends itself at end of file. The kernel closes the
/// write end when this process dies, by SIGKILL or abort too, so nothing keeps running then either.
#[derive(Debug)]
pub struct Server {
    name: &'static str,
    command: Command,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts a command as a server that logs into `<dir>/<name>.log`.
    ///
    /// # Errors
    /// When the log cannot be written or the command cannot be started.
    pub fn start(name: &'static str, mut command: Command, dir: &Path) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let out = File::create(&log).doing(|| format!("write {}", log.display()))?;
        let err = out.try_clone().doing(|| format!("write {}", log.display()))?;
        command.env("LIFELINE_DIE_WITH_STDIN", "1").stdin(Stdio::piped()).stdout(out).stderr(err);
        let child = command.spawn().doing(|| format!("start {name}"))?;
        Ok(Self { name, command, child, log })
    }

    /// Kills the process.
    ///
    /// # Errors
    /// When it ended before.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().and_then(|()| self.child.wait()).doing(|| format!("kill {}", self.name))?;
        Ok(())
    }

    /// Starts it again, after it was killed, as it was started before. Its log goes on.
    ///
    /// # Errors
    /// When the command cannot be started.
    pub fn start_again(&mut self) -> Result<()> {
        self.child = self.command.spawn().doing(|| format!("start {} again", self.name))?;
        Ok(())
    }

    /// Asks `ready` again and again until it is, for at most `patience`. `ready` says why not.
    ///
    /// # Errors
    /// When the server ends meanwhile, when `ready` itself fails, or when time is up.
    pub fn wait_until(
        &mut self,
        patience: Duration,
        mut ready: impl FnMut() -> Result<std::result::Result<(), String>>,
    ) -> Result<()> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Err(Error::Ended { server: self.name, status, log: self.log_end() });
            }
            let Err(reason) = ready()? else { return Ok(()) };
            if start.elapsed() > patience {
                return Err(Error::NotReady {
                    server: self.name,
                    seconds: patience.as_secs(),
                    reason,
                    log: self.log_end(),
                });
            }
            thread::sleep(POLL);
        }
    }

    /// How the process ended, if it did.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().doing(|| format!("ask for the state of {}", self.name))
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The last lines of the log.
    #[must_use]
    pub fn log_end(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(QUOTED_LINES)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error here means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
