//! kubectl, of the API server's own version.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use serde_json::Value;

use crate::{Error, Result};
use parts::Doing;
use parts::{Program, program};

/// kubectl as one user of one cluster.
#[derive(Debug, Clone)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    cache: PathBuf,
}

/// What kubectl said, and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// Standard output.
    pub stdout: String,
    /// Standard error, where warnings and errors go.
    pub stderr: String,
    /// The exit status.
    pub status: ExitStatus,
}

impl Kubectl {
    /// kubectl with the user and cluster of a kubeconfig file.
    ///
    /// # Errors
    /// When kubectl cannot be built.
    pub fn new(kubeconfig: impl Into<PathBuf>) -> Result<Self> {
        let kubeconfig = kubeconfig.into();
        // Ports come round again, so what was cached about one cluster must never be told of another.
        let cache = kubeconfig.with_extension("cache");
        Ok(Self { program: program(Program::Kubectl)?, kubeconfig, cache })
    }

    /// Runs kubectl with arguments and standard input, and reports whatever comes of it.
    ///
    /// # Errors
    /// When kubectl cannot be started. That it fails is no error here.
    pub fn run(&self, args: &[&str], stdin: &str) -> Result<Output> {
        let mut child = Command::new(&self.program)
            .args(args)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", &self.cache)
            // The user's own preferences have no place in a test.
            .env("KUBERC", "off")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .doing(|| "start kubectl".to_owned())?;
        let pipe = child.stdin.take();
        thread::scope(|scope| {
            // Written beside the reading, so that neither waits for the other's full pipe.
            scope.spawn(move || {
                if let Some(mut pipe) = pipe {
                    // kubectl may rightly end without reading it all.
                    let _ = pipe.write_all(stdin.as_bytes());
                }
            });
            child.wait_with_output()
        })
        .map(|output| Output {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            status: output.status,
        })
        .doing(|| "run kubectl".to_owned())
    }

    /// Runs a line of shell in which `kubectl` is this one, as a user pastes it.
    ///
    /// # Errors
    /// When bash cannot be started. That the line fails is no error here.
    pub fn shell(&self, line: &str) -> Result<Output> {
        let own = self.program.parent().map(std::path::Path::to_path_buf);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(own.into_iter().chain(std::env::split_paths(&path))).unwrap_or(path);
        let output = Command::new("bash")
            .args(["-o", "pipefail", "-c", line])
            .env("PATH", path)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", &self.cache)
            .env("KUBERC", "off")
            .stdin(Stdio::null())
            .output()
            .doing(|| "run bash".to_owned())?;
        Ok(Output {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            status: output.status,
        })
    }

    /// Runs kubectl and returns its standard output.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn ok(&self, args: &[&str], stdin: &str) -> Result<String> {
        let output = self.run(args, stdin)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(Error::Failed {
            command: format!("kubectl {}", args.join(" ")),
            status: output.status,
            output: output.stderr,
        })
    }

    /// Applies manifests, YAML or JSON, server-side and with strict field validation.
    ///
    /// # Errors
    /// When the API server refuses one of them.
    pub fn apply(&self, manifests: &str) -> Result<String> {
        self.ok(&["apply", "--server-side", "--validate=strict", "-f", "-"], manifests)
    }

    /// Gets an object, or a list of them, for example `["globalnetworkpolicies.projectcalico.org", "name"]`.
    ///
    /// # Errors
    /// When there is none, or the answer is not JSON.
    pub fn get(&self, what: &[&str]) -> Result<Value> {
        let args = [&["get", "-o", "json"], what].concat();
        let answer = self.ok(&args, "")?;
        serde_json::from_str(&answer).map_err(|_| Error::Answer { part: "kubectl", answer })
    }
}
