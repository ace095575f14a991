//! What the command costs as a process, from start to exit: `cargo bench -p translator --bench process`.
//!
//! Prints one table. Cases go from small to large, because the kernel tells the peak memory of all children so far. Wall
//! time depends on the machine and on who else uses it; user instructions, where valgrind is there, do not.

mod fleet;
#[path = "../support/mod.rs"]
mod support;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

const RUNS: usize = 31;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [write, folder, nodes, pods] = &*arguments
        && write == "write"
    {
        return fleet::write(Path::new(folder), nodes.parse()?, pods.parse()?);
    }
    // `cargo test --benches` runs this to see that it works; the figures are for `cargo bench`.
    let runs = if std::env::args().any(|arg| arg == "--bench") { RUNS } else { 1 };
    let folder = tempfile::tempdir()?;
    let list = |count: usize| -> Result<String, Box<dyn Error>> {
        let file = folder.path().join(format!("{count}.json"));
        fs::write(&file, support::nodes(count))?;
        Ok(file.display().to_string())
    };
    let smallest: &[&str] = &["--preset", "lke", "--set", "apiServerSources=192.0.2.0/24"];
    let largest: &[&str] =
        &["--preset", "harvester", "--addon", "kubeovn-operator=on", "--addon", "rancher-monitoring=on"];
    let mut cases = Vec::new();
    for cni in ["calico", "cilium"] {
        cases.push((format!("{cni}, lke"), [&["--cni", cni], smallest].concat()));
    }
    let counts = [0, 1_000, 2_000, 5_000];
    let lists = counts.iter().map(|count| list(*count)).collect::<Result<Vec<_>, _>>()?;
    for (count, list) in counts.iter().zip(&lists) {
        for cni in ["calico", "cilium"] {
            let title = format!("{cni}, harvester, all addons, {count} nodes");
            cases.push((title, [&["--cni", cni], largest, &["--nodes", list]].concat()));
        }
    }
    let counts = [(1_000, 0), (1_000, 30_000)];
    let fleets = counts.iter().map(|(nodes, pods)| {
        let folder = folder.path().join(format!("{nodes}-{pods}"));
        fs::create_dir(&folder)?;
        // Not here: what this process holds would count as a child's, until that has become another program.
        let mut writer = Command::new(std::env::current_exe()?);
        let written = writer.arg("write").arg(&folder).args([nodes, pods].map(ToString::to_string)).status()?;
        if !written.success() {
            return Err("the cluster is not written".into());
        }
        Ok(["state", "change", "config.yaml"].map(|name| folder.join(name).display().to_string()))
    });
    let fleets = fleets.collect::<Result<Vec<[String; 3]>, Box<dyn Error>>>()?;
    for ((nodes, pods), [state, change, config]) in counts.iter().zip(&fleets) {
        let title = format!("check, 50 files, {nodes} nodes, {pods} pods");
        cases.push((title, vec!["check", "--snapshot", state, "-f", change, "--config", config]));
    }
    // All figures of the command itself first: valgrind's own memory would count as a child's.
    let figures = cases.iter().map(|(_, args)| figures(args, runs)).collect::<Result<Vec<_>, _>>()?;
    println!("{:<44} {:>10} {:>10} {:>16}", "case", "median ms", "peak MiB", "10^6 instructions");
    for ((title, args), (median, peak)) in cases.iter().zip(figures) {
        let count = if runs > 1 { instructions(args) } else { None };
        let count = count.map_or_else(|| "-".to_owned(), |count| format!("{:.1}", count as f64 / 1e6));
        println!("{title:<44} {:>10.1} {:>10.1} {count:>16}", median.as_secs_f64() * 1e3, peak as f64 / 1024.0);
    }
    Ok(())
}

/// Median wall time, and peak memory of all children so far in KiB.
fn figures(args: &[&str], runs: usize) -> Result<(Duration, i64), Box<dyn Error>> {
    let mut times = (0..runs).map(|_| once(args)).collect::<Result<Vec<_>, _>>()?;
    times.sort_unstable();
    Ok((times[times.len() / 2], getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss()))
}

fn once(args: &[&str]) -> Result<Duration, Box<dyn Error>> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_translate"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let status = command.status()?;
    let time = start.elapsed();
    if status.success() { Ok(time) } else { Err(format!("translate {args:?} failed with {status}").into()) }
}

/// Instructions in user space, as valgrind counts them.
fn instructions(args: &[&str]) -> Option<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", env!("CARGO_BIN_EXE_translate")])
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let count = text.lines().find_map(|line| line.split_once("Collected :"))?.1;
    count.trim().parse().ok()
}
