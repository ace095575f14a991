//! Selectors, with every operator.

use crate::random::Dice;

/// Labels that objects have, with the values they have.
pub(super) const LABELS: [(&str, &[&str]); 4] = [
    ("role", &["", "worker", "cp"]),
    ("env", &["prod", "production", "dev"]),
    ("zone", &["z1", "z2"]),
    ("node-role.kubernetes.io/etcd", &["true", ""]),
];

/// A selector of policies and rules.
pub(super) fn selector(dice: &mut Dice) -> String {
    match dice.number(..20) {
        0 => "all()".to_owned(),
        1 => String::new(),
        2 => " ".to_owned(),
        3..12 => term(dice),
        _ => expression(dice, 2),
    }
}

/// One that is not text of blanks, with operators between its terms.
pub(super) fn expression(dice: &mut Dice, depth: usize) -> String {
    if depth == 0 {
        return term(dice);
    }
    let count = dice.number(1..=3);
    let operator = dice.pick(&[" && ", " || ", "&&"]);
    let parts: Vec<String> = (0..count)
        .map(|_| {
            let inner = expression(dice, depth - 1);
            match dice.number(..6) {
                0 => format!("!({inner})"),
                1 => format!("!{}", term(dice)),
                2 => format!("({inner})"),
                _ => term(dice),
            }
        })
        .collect();
    parts.join(operator)
}

fn term(dice: &mut Dice) -> String {
    let (label, values) = dice.pick(&LABELS);
    let value = dice.pick(values);
    let quote = dice.pick(&["'", "\""]);
    let literal = format!("{quote}{value}{quote}");
    let part: String = value.chars().take(dice.number(..=3)).collect();
    match dice.number(..13) {
        0 | 1 => format!("{label} == {literal}"),
        2 => format!("{label} != {literal}"),
        3 => format!("{label} in {{{literal}, 'dev', 'z1'}}"),
        4 => format!("{label} not in {{{literal}}}"),
        5 => format!("{label} notin {{ }}"),
        6 | 7 => format!("has({label})"),
        8 => format!("!has( {label} )"),
        9 => format!("{label} contains '{part}'"),
        10 => format!("{label} starts with '{part}'"),
        11 => format!("{label} endswith '{part}'"),
        _ => "all()".to_owned(),
    }
}

/// Labels of an object.
pub(super) fn labels(dice: &mut Dice) -> serde_json::Value {
    let count = dice.number(..=3);
    let chosen = dice.several(&LABELS, count..=count);
    let mut labels = serde_json::Map::new();
    for (label, values) in chosen {
        labels.insert(label.to_owned(), dice.pick(values).into());
    }
    labels.into()
}
