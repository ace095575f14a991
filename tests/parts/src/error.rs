use std::io;
use std::process::ExitStatus;

/// Why a part of the test house could not do its work. The message is one sentence, then what the part itself said.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something that has to be on the machine is not there.
    #[error("{what} is needed and cannot be had: {why}")]
    Missing {
        /// What is missing.
        what: String,
        /// What was tried, and how to get it.
        why: String,
    },
    /// The operating system refused something.
    #[error("could not {action}: {source}")]
    Io {
        /// What was being done, to follow "could not".
        action: String,
        /// The refusal.
        source: io::Error,
    },
    /// A command ran and failed.
    #[error("`{command}` failed with {status}:\n{output}")]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it wrote to standard error.
        output: String,
    },
    /// A server ended though nobody had ended it.
    #[error("{server} ended by itself with {status}; the end of its log:\n{log}")]
    Ended {
        /// The server.
        server: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// A server runs and is not ready.
    #[error("{server} was not ready after {seconds} s: {reason}; the end of its log:\n{log}")]
    NotReady {
        /// The server.
        server: &'static str,
        /// How long it had.
        seconds: u64,
        /// What it answered last.
        reason: String,
        /// The last lines of its log.
        log: String,
    },
    /// A certificate could not be made.
    #[error("could not make the certificate of {subject}: {why}")]
    Certificate {
        /// Whose certificate.
        subject: String,
        /// What rcgen says.
        why: String,
    },
    /// A part answered what it should not have.
    #[error("unexpected answer of {part}: {answer}")]
    Answer {
        /// The part.
        part: &'static str,
        /// What it said.
        answer: String,
    },
    /// The test asked for what does not go together.
    #[error("{0}")]
    Misuse(&'static str),
}

/// What the parts of the test house return.
pub type Result<T> = std::result::Result<T, Error>;

/// Says what was being done when the operating system refused.
pub trait Doing<T> {
    /// The result, with what was being done in its error.
    ///
    /// # Errors
    /// As before.
    fn doing(self, action: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, action: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io { action: action(), source })
    }
}
