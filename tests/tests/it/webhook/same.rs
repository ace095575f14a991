//! The webhook, which goes on from what it knows, says what `translate check` says, which begins with nothing. Random changes, one
//! after the other, of the states of all cases.
//!
//! ```text
//! LIFELINE_CASES=1000000 cargo test --release -p tests --test it webhook::same -- --nocapture
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use policy::lifeline::config::Config;
use policy::lifeline::detect::detect;
use policy::lifeline::judge::{Assumptions, Change, Judge, Judgement, Verdict};
use policy::snapshot::{Manifest, Snapshot};
use serde_json::{Value, json};
use tests::random::Dice;
use webhook::verdict::State;

use super::Test;
use super::fixes::{World, ask, guarded, loaded};
use super::lockouts::{CONFIG, cases};

const SEED: u64 = 20_261_122;
/// Reviews, unless said otherwise.
const REVIEWS: u64 = 400;
/// Reviews of one state, one after the other.
const WALK: usize = 20;
/// One of so many is judged with its repair too, as the command does, the others without what both have in common: a glance.
const WHOLE: u64 = 10;

#[test]
fn reviews_say_what_check_says() -> Test {
    let wanted = std::env::var("LIFELINE_CASES").map_or(Ok(REVIEWS), |text| text.parse())?;
    let config = Arc::new(Config::read(CONFIG).map_err(|errors| format!("{errors:?}"))?);
    let cases = cases()?;
    let pool: Vec<Value> = cases
        .iter()
        .map(|(_, case, state)| Ok([tests::api::objects(&case.change)?, state.clone()].concat()))
        .collect::<tests::Result<Vec<_>>>()?
        .concat()
        .into_iter()
        .filter(guarded)
        .collect();
    let (mut reviews, mut verdicts) = (0, BTreeMap::<String, u64>::new());
    for walk in 0.. {
        let dice = &mut Dice::new(SEED, walk);
        let mut world = World(cases[dice.number(0..cases.len())].2.clone());
        let mut state = State::new(&loaded(&world.0), Arc::clone(&config), &Assumptions::default());
        for _ in 0..WALK {
            if reviews == wanted {
                println!("{reviews} reviews: {verdicts:?}");
                assert!(wanted < REVIEWS || verdicts.len() >= 4, "{verdicts:?}");
                return Ok(());
            }
            let Some((before, after)) = change(dice, &world, &pool) else { continue };
            let decision = ask(&state, before.as_ref(), after.as_ref());
            let expected = offline(state.snapshot(), &config, before.as_ref(), after.as_ref(), reviews % WHOLE == 0)?;
            let told: BTreeSet<String> = decision.findings.iter().map(|finding| finding.code.clone()).collect();
            let what = || format!("walk {walk}, review {reviews}: {before:?} -> {after:?}\n{decision:?}\n{expected:?}");
            assert_eq!(told, codes(&expected), "{}", what());
            assert_eq!(decision.answer.denial.is_some(), expected.verdict != Verdict::Safe, "{}", what());
            *verdicts.entry(format!("{:?}", expected.verdict)).or_default() += 1;
            for code in told {
                *verdicts.entry(code).or_default() += 1;
            }
            reviews += 1;
            // Somebody went past the webhook, now and then. Not with what Cilium refuses: agents go on with what was there before
            // it, of which whoever begins with nothing does not know.
            if expected.verdict == Verdict::Safe || (expected.verdict == Verdict::Cuts && dice.chance(30)) {
                match (&before, &after) {
                    (_, Some(after)) => world.put(after),
                    (Some(before), None) => world.remove(before),
                    (None, None) => {}
                }
                state = state.with(&loaded(&world.0));
            }
        }
    }
    Ok(())
}

/// An object before and after; none if nothing came of it.
fn change(dice: &mut Dice, world: &World, pool: &[Value]) -> Option<(Option<Value>, Option<Value>)> {
    let there: Vec<Value> = world.0.iter().filter(|object| guarded(object)).cloned().collect();
    if !there.is_empty() && dice.chance(25) {
        return Some((Some(dice.pick(&there)), None));
    }
    let after = if !there.is_empty() && dice.chance(50) {
        let mut object = dice.pick(&there);
        let other = dice.pick(pool);
        alter(dice, &mut object["spec"], &other["spec"]);
        object
    } else {
        dice.pick(pool)
    };
    let before = world.get(&after).cloned();
    (before.as_ref() != Some(&after)).then_some((before, Some(after)))
}

/// Changes one thing somewhere, or takes over one of another object.
fn alter(dice: &mut Dice, value: &mut Value, other: &Value) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let names: Vec<String> = fields.keys().cloned().collect();
            let name = dice.pick(&names);
            if dice.chance(15) {
                fields.remove(&name);
            } else if dice.chance(20) && !other[&name].is_null() {
                fields[&name] = other[&name].clone();
            } else if let Some(field) = fields.get_mut(&name) {
                alter(dice, field, &other[&name]);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let at = dice.number(0..items.len());
            if dice.chance(25) {
                items.remove(at);
            } else {
                alter(dice, &mut items[at], &other[0]);
            }
        }
        Value::String(text) => match text.as_str() {
            "Allow" => *value = json!(dice.pick(&["Deny", "Pass", "Log"])),
            "Deny" => *value = json!(dice.pick(&["Allow", "Pass"])),
            "TCP" => *value = json!("UDP"),
            "UDP" => *value = json!("TCP"),
            _ if other.is_string() => *value = other.clone(),
            _ => {}
        },
        Value::Bool(is_so) => *is_so = !*is_so,
        Value::Number(_) => *value = json!(dice.pick(&[0, 22, 179, 443, 2379, 4789, 6443, 10250, 70_000])),
        _ => {}
    }
}

/// What `translate check` finds.
fn offline(
    snapshot: &Snapshot,
    config: &Config,
    before: Option<&Value>,
    after: Option<&Value>,
    whole: bool,
) -> Result<Judgement, Box<dyn std::error::Error>> {
    let read = |value: &Value| -> Result<Manifest, Box<dyn std::error::Error>> {
        let read = policy::snapshot::manifests("change", &value.to_string())?;
        Ok(read.into_iter().next().ok_or("nothing was read")?)
    };
    let change = match (before, after) {
        (_, Some(after)) => Change::Put(read(after)?),
        (Some(before), None) => Change::Delete(read(before)?.key),
        (None, None) => return Err("no change".into()),
    };
    let lifelines = |snapshot: &Snapshot| detect(snapshot, config);
    let judge = Judge::new(snapshot, lifelines, &Assumptions::default());
    Ok(if whole { judge.judge(&[change]) } else { judge.decide_at_length(&[change]) }?)
}

fn codes(judgement: &Judgement) -> BTreeSet<String> {
    let mut codes: BTreeSet<String> = judgement.cuts.iter().map(|cut| format!("cuts-{}", cut.lifeline)).collect();
    codes.extend((!judgement.stops.is_empty()).then(|| "stops-agent".to_owned()));
    codes.extend((!judgement.doubts.is_empty()).then(|| "cannot-prove".to_owned()));
    codes
}
