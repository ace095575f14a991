//! The same question to z3: nested if-then-else over the fields, as SecGuru puts it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::resource::UsageWho;

use crate::cluster::{self, From, ROLES, RULES, Rule, Size};
use crate::table::{Calico, Cni, median, used};
use policy::packet::{Cube, PacketSet, protocol};

/// Is TCP to this port of a node admitted from every address of the nodes' network?
const PORT: u16 = 10_250;

pub(crate) fn print() {
    println!("\nIs TCP {PORT} admitted from 10.0.0.0/16? One class, exact set against z3 (whole process):");
    println!("{:>7} {:>14} {:>14} {:>12} {:>9}", "rules", "cold engine", "warm engine", "z3", "z3/warm");
    for rules in [10, 100, 1_000] {
        let size = Size { nodes: 10, policies: rules / 10, rules: RULES };
        let wanted = Cube {
            protocols: protocol::TCP.into(),
            destination_ports: PORT.into(),
            source: "10.0.0.0/16".parse::<ipnet::IpNet>().expect("a prefix").into(),
            ..Cube::any()
        };
        let wanted = PacketSet::from(&wanted);
        let engine = Calico::new(size);
        let ask = || {
            let passed = engine.ingress();
            let lost = passed.space().hold(&wanted).and_then(|wanted| wanted.difference(&passed));
            lost.expect("within the budget").sample(&policy::packet::Preference::default())
        };
        let mut ours = None;
        let cold = median(1, |_| ours = ask());
        let warm = median(9, |_| {
            ask();
        })
        .max(Duration::from_micros(1));
        match z3(size) {
            Ok((time, sat)) => {
                assert_eq!(sat, ours.is_some(), "z3 and the engine differ");
                let ratio = time.as_secs_f64() / warm.as_secs_f64();
                println!("{rules:>7} {cold:>14.1?} {warm:>14.1?} {time:>12.1?} {ratio:>8.0}x");
            }
            Err(error) => println!("{rules:>7} {cold:>14.1?} {warm:>14.1?} {:>12}", format!("no z3: {error}")),
        }
    }
}

/// Time, and whether some packet is not admitted.
fn z3(size: Size) -> std::io::Result<(Duration, bool)> {
    let text = problem(size);
    let start = used(UsageWho::RUSAGE_CHILDREN);
    let mut child = Command::new("z3").arg("-in").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(text.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    Ok((used(UsageWho::RUSAGE_CHILDREN) - start, String::from_utf8_lossy(&output.stdout).starts_with("sat")))
}

/// The rules of a node of the first role: a packet that is wanted and that none admits.
fn problem(size: Size) -> String {
    let mut text = String::from(
        "(set-logic QF_BV)(declare-const src (_ BitVec 32))(declare-const port (_ BitVec 16))(declare-const proto (_ BitVec 8))\n",
    );
    let bits = |[a, b, c, d]: [u8; 4]| u32::from_be_bytes([a, b, c, d]);
    let within = |address: [u8; 4], length: u8| {
        let first = bits(address);
        let last = first | u32::MAX.checked_shr(length.into()).unwrap_or(0);
        format!("(and (bvule #x{first:08x} src) (bvule src #x{last:08x}))")
    };
    let mut depth = 0;
    text.push_str("(define-fun admitted () Bool\n");
    for policy in (0..size.policies).filter(|policy| cluster::concerns(*policy, 0)) {
        for index in 0..size.rules {
            let Rule { port, from } = cluster::rule(policy, index, 0);
            let from = match from {
                From::Prefix(address, length) => within(address, length),
                From::Role(role) => {
                    let members = (0..size.nodes).filter(|node| node % ROLES == role);
                    let members = members.map(|node| format!("(= src #x{:08x})", bits(cluster::address(node))));
                    format!("(or false {})", members.collect::<Vec<_>>().join(" "))
                }
            };
            let _ = writeln!(text, "(ite (and (= proto #x06) (= port #x{port:04x}) {from}) true");
            depth += 1;
        }
    }
    let _ = writeln!(text, "false{})", ")".repeat(depth));
    let _ = writeln!(text, "(assert (and (= proto #x06) (= port #x{PORT:04x}) {}))", within([10, 0, 0, 0], 16));
    text.push_str("(assert (not admitted))(check-sat)(exit)\n");
    text
}
