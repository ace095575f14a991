//! The words of an answer, for the one who is paged at night: what breaks and where in the first line, then the packet,
//! the rule, the repair, and the way out.

use policy::lifeline::judge::{Cut, Deciding};

use super::{Findings, Sorted, paste};
use crate::review::{Cause, Denial, MESSAGE};
use crate::validate::Change;

/// Longest value of an audit annotation, in bytes.
pub(super) const AUDIT: usize = 4096;
/// Most causes that are listed.
const CAUSES: usize = 16;
/// How to get a change through all the same.
const WAY_OUT: &str = "way out: annotate the object lifeline.dev/break-glass=REASON (needs bypass on clusterguards)";

/// The code of a cut.
pub(super) fn code(cut: &Cut) -> String {
    format!("cuts-{}", cut.lifeline)
}

/// What is said to whoever is refused; none if nobody is.
pub(super) fn denial(sorted: &Sorted<'_>, change: &Change<'_>) -> Option<Denial> {
    let refused = &sorted.refused;
    if refused.is_empty() {
        return None;
    }
    let mut lines = Vec::new();
    let code = if let Some(stop) = refused.stops.first() {
        lines.push(format!("stops-agent: {stop}"));
        "stops-agent".to_owned()
    } else if let Some(cut) = refused.cuts.first() {
        lines.extend(of_cut(cut));
        code(cut)
    } else {
        for doubt in &refused.doubts {
            lines.push(format!("cannot-prove: {doubt}"));
        }
        "cannot-prove".to_owned()
    };
    let others: Vec<String> = refused.codes().filter(|other| *other != code).collect();
    if !others.is_empty() {
        lines.push(format!("also: {}", others.join(", ")));
    }
    let end = [WAY_OUT.to_owned(), format!("more: translate explain {code}")];
    let repair = sorted.repair.map(|repair| paste::lines(repair, change)).unwrap_or_default();
    lines.extend(fitting(repair, &lines, &end));
    lines.extend(end);
    Some(Denial { message: lines.join("\n"), causes: causes(refused) })
}

/// The lines of a repair, if they fit whole beside the others: half a command is worse than none.
fn fitting(repair: Vec<String>, before: &[String], after: &[String]) -> Vec<String> {
    let length = |lines: &[String]| lines.iter().map(|line| line.len() + 1).sum::<usize>();
    let fits = length(&repair) + length(before) + length(after) <= MESSAGE;
    match repair.first() {
        Some(_) if fits => repair,
        Some(first) => vec![format!("{first}; it is too long for this message, `translate check` prints it")],
        None => vec!["repair: none was found that keeps what the change is for".to_owned()],
    }
}

fn of_cut(cut: &Cut) -> Vec<String> {
    let more = match cut.pairs.saturating_sub(1) {
        0 => String::new(),
        1 => " and one other pair".to_owned(),
        more => format!(" and {more} other pairs"),
    };
    let (source, destination) = (&cut.example.source, &cut.example.destination);
    let first = format!("{}: {source} to {destination}{more} is cut, so {}", code(cut), cut.breaks);
    let Deciding { cni, node, reason, .. } = &cut.deciding;
    let mut rule = format!("rule: {}", named(&cut.deciding));
    rule.push_str(&format!(" ({cni}: {reason})"));
    vec![first, format!("packet: {}, {} at {node}", cut.packet, cut.side), rule, format!("noticed: {}", cut.noticed)]
}

/// The object that decides, and where in it.
fn named(deciding: &Deciding) -> String {
    match &deciding.object {
        Some(object) if deciding.path.is_empty() => object.to_string(),
        Some(object) => format!("{object} {}", deciding.path),
        None => "a default".to_owned(),
    }
}

fn causes(refused: &Findings<'_>) -> Vec<Cause> {
    let cause = |reason: &str, message: String, field: &str| Cause {
        reason: reason.to_owned(),
        message,
        field: field.to_owned(),
    };
    let stops = refused.stops.iter().map(|stop| cause("stops-agent", stop.to_string(), &stop.path));
    let cuts = refused.cuts.iter().map(|cut| {
        let message = format!("{}; {}", cut.packet, named(&cut.deciding));
        cause(&code(cut), message, &cut.deciding.path)
    });
    let doubts = refused.doubts.iter().map(|doubt| cause("cannot-prove", doubt.to_string(), &doubt.path));
    stops.chain(cuts).chain(doubts).take(CAUSES).collect()
}

/// What is said besides: findings that are only observed, doubts that are tolerated, and what is broken already.
pub(super) fn warnings(sorted: &Sorted<'_>) -> Vec<String> {
    let observed = &sorted.observed;
    let stops = observed.stops.iter().map(|stop| format!("lifeline observes stops-agent: {stop}"));
    let cuts = observed.cuts.iter().map(|cut| {
        let (source, destination) = (&cut.example.source, &cut.example.destination);
        format!("lifeline observes {}: {source} to {destination} is cut by {}", code(cut), named(&cut.deciding))
    });
    let doubts = observed.doubts.iter().map(|doubt| format!("lifeline observes cannot-prove: {doubt}"));
    let tolerated = sorted.tolerated.iter().map(|(doubt, by)| format!("lifeline tolerates ({}): {doubt}", by.reason));
    let broken = sorted.broken.iter().map(|cut| {
        let (source, destination) = (&cut.example.source, &cut.example.destination);
        format!("{} is cut already: {source} to {destination}, by {}", cut.lifeline, named(&cut.deciding))
    });
    stops.chain(cuts).chain(doubts).chain(tolerated).chain(broken).collect()
}
