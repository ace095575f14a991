//! Calico's selector language, read and decided: the other half of what is written here, for tests.

use std::collections::BTreeMap;

/// Whether labels satisfy a selector.
///
/// # Panics
///
/// The text is not a selector.
pub(super) fn matches(selector: &str, labels: &BTreeMap<String, String>) -> bool {
    let mut reader = Reader { rest: selector.trim_matches([' ', '\t']), labels };
    let value = reader.any();
    assert!(reader.rest.is_empty(), "`{}` is left of `{selector}`", reader.rest);
    value
}

struct Reader<'r> {
    rest: &'r str,
    labels: &'r BTreeMap<String, String>,
}

impl Reader<'_> {
    fn eat(&mut self, token: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(token) else { return false };
        self.rest = rest.trim_start_matches([' ', '\t']);
        true
    }

    fn expect(&mut self, token: &str) {
        assert!(self.eat(token), "`{token}` is missing before `{}`", self.rest);
    }

    fn any(&mut self) -> bool {
        let mut value = self.all();
        while self.eat("||") {
            value |= self.all();
        }
        value
    }

    fn all(&mut self) -> bool {
        let mut value = self.one();
        while self.eat("&&") {
            value &= self.one();
        }
        value
    }

    fn one(&mut self) -> bool {
        if self.eat("!") {
            return !self.one();
        }
        if self.eat("(") {
            let value = self.any();
            self.expect(")");
            return value;
        }
        if self.eat("all()") {
            return true;
        }
        if self.eat("has(") {
            let label = self.label();
            self.expect(")");
            return self.labels.contains_key(&label);
        }
        let label = self.label();
        let value = self.labels.get(&label).cloned();
        if self.eat("==") {
            let wanted = self.literal();
            value == Some(wanted)
        } else if self.eat("!=") {
            let unwanted = self.literal();
            value != Some(unwanted)
        } else if self.eat("not in") {
            let unwanted = self.literals();
            value.is_none_or(|value| !unwanted.contains(&value))
        } else {
            self.expect("in");
            let wanted = self.literals();
            value.is_some_and(|value| wanted.contains(&value))
        }
    }

    fn label(&mut self) -> String {
        let plain = |character: char| character.is_ascii_alphanumeric() || "_./-".contains(character);
        let end = self.rest.find(|character| !plain(character)).unwrap_or(self.rest.len());
        assert!(end > 0, "a label is missing before `{}`", self.rest);
        let (label, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start_matches([' ', '\t']);
        label.to_owned()
    }

    fn literal(&mut self) -> String {
        let quote = self.rest.chars().next().filter(|quote| matches!(quote, '\'' | '"')).expect("a quotation mark");
        let (value, rest) = self.rest[1..].split_once(quote).expect("the other quotation mark");
        self.rest = rest.trim_start_matches([' ', '\t']);
        value.to_owned()
    }

    fn literals(&mut self) -> Vec<String> {
        self.expect("{");
        let mut values = Vec::new();
        while !self.eat("}") {
            values.push(self.literal());
            self.eat(",");
        }
        values
    }
}
