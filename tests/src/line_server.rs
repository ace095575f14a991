//! A process that answers each line of its standard input with one on its standard output.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::{Error, Result};
use parts::Doing;

/// It ends at the end of its standard input, so with this value or with the test.
#[derive(Debug)]
pub struct LineServer {
    name: &'static str,
    // Question and answer belong together, whoever asks.
    process: Mutex<Process>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl LineServer {
    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Upstream logs what it refuses, and the answer has it all.
            .stderr(Stdio::null())
            // A signal to this program's group is not for it: it ends with its questions.
            .process_group(0)
            .spawn()
            .doing(|| format!("start {name}"))?;
        let (questions, answers) = (child.stdin.take(), child.stdout.take());
        let Some(answers) = answers else {
            return Err(Error::Answer { part: name, answer: "no standard output".to_owned() });
        };
        let process = Process { child, questions, answers: BufReader::new(answers) };
        Ok(Self { name, process: Mutex::new(process) })
    }

    /// Asks a question that has no line breaks, and waits for the answer.
    ///
    /// # Errors
    /// When it is gone.
    pub fn ask(&self, question: &str) -> Result<String> {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let line = process.ask(question).doing(|| format!("ask {}", self.name))?;
        if line.is_empty() { Err(self.odd(&format!("nothing, it has ended, to {question}"))) } else { Ok(line) }
    }

    /// The error that an answer is not one.
    pub(crate) fn odd(&self, answer: &str) -> Error {
        Error::Answer { part: self.name, answer: answer.to_owned() }
    }

    /// The process id.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).child.id()
    }
}

impl Process {
    fn ask(&mut self, question: &str) -> std::io::Result<String> {
        let Some(questions) = &mut self.questions else { return Ok(String::new()) };
        writeln!(questions, "{question}")?;
        questions.flush()?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // End of file ends it; killing is for one that hangs in an answer. Errors mean that it is gone already.
        self.questions = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
