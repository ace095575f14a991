//! Upstream's own judgement of single objects: would Calico's client library store it, would Cilium's agent use it?

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::error::Doing;
use crate::upstream::{Program, program};
use crate::{Error, Result};

/// A long-lived checker process. It ends at the end of its standard input, so with this value or with the test.
#[derive(Debug)]
pub struct Checker {
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

/// What upstream says about one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is accepted.
    Accepted,
    /// It does not decode into upstream's type: a field is unknown, or of another type.
    Undecodable(String),
    /// It decodes, and is refused for what it says.
    Invalid(String),
}

/// Options of the Cilium agent that decide what is valid. The default is the agent's.
#[derive(Debug, Clone, Default)]
pub struct CiliumOptions {
    /// `enable-node-selector-labels`: `fromNodes` and `toNodes` are allowed.
    pub node_selector_labels: bool,
    /// `enable-extended-ip-protocols`: VRRP, IGMP, GRE and the like, and rules without a port, are allowed.
    pub extended_ip_protocols: bool,
    /// `policy-cidr-match-mode`, for example `nodes`.
    pub cidr_match_mode: Vec<String>,
}

impl Checker {
    /// Calico's validator, for objects of `projectcalico.org/v3`.
    ///
    /// # Errors
    /// When it cannot be built or started.
    pub fn calico() -> Result<Self> {
        Self::start("calico-check", &mut Command::new(program(Program::CalicoCheck)?))
    }

    /// Cilium's parser, for CiliumClusterwideNetworkPolicy and CiliumCIDRGroup of `cilium.io/v2`.
    ///
    /// # Errors
    /// When it cannot be built or started.
    pub fn cilium(options: &CiliumOptions) -> Result<Self> {
        let mut command = Command::new(program(Program::CiliumCheck)?);
        command
            .arg(format!("--enable-node-selector-labels={}", options.node_selector_labels))
            .arg(format!("--enable-extended-ip-protocols={}", options.extended_ip_protocols));
        if !options.cidr_match_mode.is_empty() {
            command.arg(format!("--policy-cidr-match-mode={}", options.cidr_match_mode.join(",")));
        }
        Self::start("cilium-check", &mut command)
    }

    fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Upstream logs what it refuses, and the answer has it all.
            .stderr(Stdio::null())
            .spawn()
            .doing(|| format!("start {name}"))?;
        let (questions, answers) = (child.stdin.take(), child.stdout.take());
        let Some(answers) = answers else {
            return Err(Error::Answer { part: name, answer: "no standard output".to_owned() });
        };
        let process = Process { child, questions, answers: BufReader::new(answers) };
        Ok(Self { name, process: Mutex::new(process) })
    }

    /// Asks about one object, in JSON as the API server would get it.
    ///
    /// # Errors
    /// When the checker is gone or says something that is not an answer.
    pub fn check(&self, object: &Value) -> Result<Verdict> {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let line = process.ask(object).doing(|| format!("ask {}", self.name))?;
        drop(process);
        let answer: Value = serde_json::from_str(&line).map_err(|_| self.odd(&line))?;
        let text = answer["error"].as_str().ok_or_else(|| self.odd(&line))?.to_owned();
        Ok(match answer["stage"].as_str() {
            _ if text.is_empty() => Verdict::Accepted,
            Some("decode") => Verdict::Undecodable(text),
            _ => Verdict::Invalid(text),
        })
    }

    /// The process id.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).child.id()
    }

    fn odd(&self, line: &str) -> Error {
        let answer = if line.is_empty() { "nothing: it has ended".to_owned() } else { line.to_owned() };
        Error::Answer { part: self.name, answer }
    }
}

impl Process {
    fn ask(&mut self, object: &Value) -> std::io::Result<String> {
        let Some(questions) = &mut self.questions else { return Ok(String::new()) };
        // JSON from serde_json has no line breaks of its own.
        writeln!(questions, "{object}")?;
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
