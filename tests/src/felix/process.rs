//! The program that holds the namespaces, Felix and the packets: `tests/upstream/rig`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::line_server::LineServer;
use crate::verdicts::calico::{CaseInterface, CasePacket};
use crate::{Error, Result};
use parts::{Program, program};

const NAME: &str = "rig";

/// What Felix and the rig call, and the Debian packages that bring it.
const TOOLS: [(&str, &[&str], &str); 4] = [
    ("ip", &["-V"], "iproute2"),
    ("nft", &["--version"], "nftables"),
    ("iptables", &["--version"], "iptables"),
    ("ipset", &["--version"], "ipset"),
];

/// The running program. Everything it made ends with it.
#[derive(Debug)]
pub(super) struct Process(LineServer);

/// What it is asked for first.
#[derive(Debug, Serialize)]
pub(super) struct Setup<'a> {
    pub(super) api: &'a Path,
    pub(super) felix: &'a Path,
    pub(super) directory: &'a Path,
    pub(super) nodes: Vec<NodeSetup>,
    pub(super) interfaces: Vec<CaseInterface>,
}

/// One namespace with a Felix of its own.
#[derive(Debug, Serialize)]
pub(super) struct NodeSetup {
    pub(super) name: String,
    pub(super) env: BTreeMap<String, String>,
}

/// What it is asked for.
#[derive(Debug, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(super) enum Operation<'a> {
    Objects { requests: &'a [Request] },
    Start { node: &'a str, env: &'a BTreeMap<String, String> },
    Stop { node: &'a str },
    Hold { node: &'a str, still: bool },
    Clear { node: &'a str },
    Addresses { node: &'a str, interfaces: &'a [CaseInterface] },
    Burst { node: &'a str, packets: &'a [CasePacket] },
    Sync(Sync<'a>),
}

/// What to wait for.
#[derive(Debug, Serialize)]
pub(super) struct Sync<'a> {
    pub(super) node: &'a str,
    /// Packets, and which of them get through.
    pub(super) packets: &'a [CasePacket],
    pub(super) accept: &'a [bool],
    /// Tables of the kernel, and what is in them.
    pub(super) rules: BTreeMap<&'static str, String>,
    pub(super) seconds: u64,
}

/// A request to the API server.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) body: Value,
}

/// What comes back.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reply {
    error: String,
    pub(super) responses: Vec<Response>,
    pub(super) accepted: Vec<bool>,
    pub(super) conntrack: Vec<String>,
    pub(super) starts: u64,
}

/// What the API server says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) message: String,
}

impl Process {
    pub(super) fn start(setup: &Setup<'_>) -> Result<Self> {
        require_tools()?;
        let process = Self(LineServer::start(NAME, &mut command(&program(Program::Rig)?))?);
        process.exchange(setup).map_err(|error| Error::Missing {
            what: "a network namespace with veth pairs and nftables".to_owned(),
            why: format!("{error}; run the tests as root, or where a user may make namespaces"),
        })?;
        Ok(process)
    }

    pub(super) fn ask(&self, operation: &Operation<'_>) -> Result<Reply> {
        self.exchange(operation)
    }

    fn exchange(&self, line: &impl Serialize) -> Result<Reply> {
        let line = serde_json::to_string(line).map_err(|error| self.0.odd(&error.to_string()))?;
        let answer = self.0.ask(&line)?;
        let reply: Reply = serde_json::from_str(&answer).map_err(|_| self.0.odd(&answer))?;
        if reply.error.is_empty() { Ok(reply) } else { Err(self.0.odd(&reply.error)) }
    }
}

/// Namespaces take root, or a user namespace in which one is root.
fn command(program: &Path) -> Command {
    if fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) {
        return Command::new(program);
    }
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user"]).arg(program);
    command
}

fn require_tools() -> Result<()> {
    let missing: Vec<_> = TOOLS
        .iter()
        .filter(|(tool, probe, _)| {
            !Command::new(tool).args(*probe).output().is_ok_and(|output| output.status.success())
        })
        .map(|(_, _, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::Missing {
        what: "the packet filter that Felix rules".to_owned(),
        why: format!(
            "some programs are not there; on Debian run: apt-get install {}, or leave these tests out with `cargo xtask test --offline`",
            missing.join(" ")
        ),
    })
}
