//! Random cases for Calico: tiers, policies of every class and rule field, host endpoints of every form, sets, services,
//! settings, and packets at the boundaries of all that.
//!
//! The world is small, so that rules and packets meet: few addresses, prefixes that nest, few labels and ports.

mod packets;
mod policy;
mod rule;
mod selector;
mod world;

use ::policy::calico::settings::Dataplane;
use serde_json::Value;

use super::Dice;
use crate::verdicts::calico::Case;

/// So many neighbouring cases have one configuration of Felix, because a change of it ends Felix.
pub(crate) const BLOCK: u64 = 15;

/// One case, in the format of the recorded ones.
#[must_use]
pub fn case(seed: u64, index: u64) -> Case {
    // What neighbours have in common has choices of its own.
    let block = &mut Dice::new(seed ^ 0xb10c, index / BLOCK);
    let mut objects = world::configuration(block);
    let env = world::environment(block);
    // Some rules end Felix in one of its modes, such as one with an ICMP code in nftables mode.
    let only = block.weighted(&[(75, None), (15, Some(Dataplane::Iptables)), (10, Some(Dataplane::Nftables))]);
    let dice = &mut Dice::new(seed, index);
    let raw = dice.chance(25);
    // Felix remembers the default action of a tier that was there before, so no name comes twice.
    let tiers = world::tiers(dice, index);
    let names: Vec<String> = tiers.iter().map(|tier| text(tier, "/metadata/name")).collect();
    objects.extend(tiers);
    objects.extend(world::sets(dice));
    objects.extend(world::services(dice));
    objects.extend(world::endpoints(dice));
    let context = policy::Context { raw, only, tiers: names, index };
    objects.extend((0..dice.number(1..=5)).map(|number| policy::object(dice, &context, number)));
    let packets = packets::packets(dice, &objects);
    Case {
        id: format!("{seed}/{index}"),
        node: world::NODE.to_owned(),
        raw,
        dataplane: only,
        env,
        interfaces: world::interfaces(),
        objects,
        packets,
    }
}

fn text(object: &Value, pointer: &str) -> String {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}
