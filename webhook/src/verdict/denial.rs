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

/// In the place of a repair that is longer than a message may be.
const TOO_LONG: &str = "repair: there is one, too long for this message; it is the last of details.causes (kubectl -v=10), and \
                        in the audit log; or leave this change out";

/// What is said to whoever is refused; none if nobody is.
pub(super) fn denial(sorted: &Sorted<'_>, change: &Change<'_>) -> Option<Denial> {
    let refused = &sorted.refused;
    if refused.is_empty() {
        return None;
    }
    let told = told(refused);
    let repair = sorted.repair.map(|repair| paste::lines(repair, change)).unwrap_or_default();
    let others: Vec<String> = refused.codes().filter(|other| *other != told.code).collect();
    let also = (!others.is_empty()).then(|| format!("also: {}", others.join(", ")));
    let more = format!("more: translate explain {}", told.code);
    let end: Vec<String> = also.into_iter().chain([WAY_OUT.to_owned(), more]).collect();
    let length = |lines: &[String]| lines.iter().map(|line| line.len() + 1).sum::<usize>();
    let room = MESSAGE.saturating_sub(length(&told.lines) + length(&end));
    let mut causes = causes(refused);
    causes.extend(paste::cause(&repair));
    // Half a command is worse than none.
    let repair = if length(&repair) <= room { repair } else { vec![TOO_LONG.to_owned()] };
    let noticed = told.noticed.filter(|noticed| noticed.len() < room.saturating_sub(length(&repair)));
    let lines: Vec<String> = told.lines.into_iter().chain(noticed).chain(repair).chain(end).collect();
    Some(Denial { message: lines.join("\n"), causes })
}

/// The finding that is told in full.
struct Told {
    code: String,
    lines: Vec<String>,
    /// When it shows, if there is room for that.
    noticed: Option<String>,
}

fn told(refused: &Findings<'_>) -> Told {
    if let Some(stop) = refused.stops.first() {
        return Told { code: "stops-agent".to_owned(), lines: vec![format!("stops-agent: {stop}")], noticed: None };
    }
    let Some(worst) = refused.cuts.first() else {
        let lines = refused.doubts.iter().map(|doubt| format!("cannot-prove: {doubt}")).collect();
        return Told { code: "cannot-prove".to_owned(), lines, noticed: None };
    };
    // Of one lifeline, what most lose: the API server beside a kubelet is the exception, not the rule.
    let same = refused.cuts.iter().filter(|cut| cut.lifeline == worst.lifeline);
    let cut = same.rev().max_by_key(|cut| cut.pairs).unwrap_or(worst);
    let more = match cut.pairs.saturating_sub(1) {
        0 => String::new(),
        1 => " and one other pair".to_owned(),
        more => format!(" and {more} other pairs"),
    };
    let (source, destination) = (&cut.example.source, &cut.example.destination);
    let first = format!("{}: {source} to {destination}{more} is cut, so {}", code(cut), cut.breaks);
    let Deciding { cni, node, reason, .. } = &cut.deciding;
    let packet = format!("packet: {}, {} at {node}", cut.packet, cut.side);
    let rule = format!("rule: {} ({cni}: {reason})", named(&cut.deciding));
    let noticed = Some(format!("noticed: {}", cut.noticed));
    Told { code: code(cut), lines: vec![first, packet, rule], noticed }
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
