//! Tokens (projectcalico/calico:libcalico-go/lib/selector/tokenizer/tokenizer.go).

use super::SelectorError;

/// Longest label that Calico reads, in bytes.
const MAX_LABEL: usize = 512;

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Label(String),
    Literal(String),
    LeftBrace,
    RightBrace,
    Comma,
    Equal,
    NotEqual,
    In,
    NotIn,
    Contains,
    StartsWith,
    EndsWith,
    Not,
    All,
    Global,
    Has(String),
    LeftParen,
    RightParen,
    And,
    Or,
    End,
}

/// Splits a text; the last token is always [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, SelectorError> {
    let mut rest = text;
    let mut tokens = Vec::new();
    loop {
        rest = skip_blanks(rest);
        let Some(first) = rest.chars().next() else {
            tokens.push(Token::End);
            return Ok(tokens);
        };
        let after_label = matches!(tokens.last(), Some(Token::Label(_)));
        let (token, remainder) = match first {
            '(' => (Token::LeftParen, &rest[1..]),
            ')' => (Token::RightParen, &rest[1..]),
            '{' => (Token::LeftBrace, &rest[1..]),
            '}' => (Token::RightBrace, &rest[1..]),
            ',' => (Token::Comma, &rest[1..]),
            '"' | '\'' => literal(&rest[1..], first)?,
            '=' => (Token::Equal, after(rest, "==")?),
            '&' => (Token::And, after(rest, "&&")?),
            '|' => (Token::Or, after(rest, "||")?),
            '!' => match rest.strip_prefix("!=") {
                Some(remainder) => (Token::NotEqual, remainder),
                None => (Token::Not, &rest[1..]),
            },
            _ if after_label => operator(rest)?,
            _ => word(rest)?,
        };
        tokens.push(token);
        rest = remainder;
    }
}

/// Whether a text is a label that a selector can name.
pub fn is_label(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_LABEL && text.bytes().all(in_label)
}

fn in_label(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'/' | b'-')
}

fn skip_blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

fn after<'t>(text: &'t str, expected: &'static str) -> Result<&'t str, SelectorError> {
    text.strip_prefix(expected).ok_or(SelectorError::Expected(expected))
}

fn literal(text: &str, quote: char) -> Result<(Token, &str), SelectorError> {
    let (value, remainder) = text.split_once(quote).ok_or(SelectorError::Unterminated)?;
    Ok((Token::Literal(value.to_owned()), remainder))
}

/// The operator after a label. One of two words needs no blank between them, and none before what follows it.
fn operator(text: &str) -> Result<(Token, &str), SelectorError> {
    let words = |first: &str, second: &str| {
        let remainder = skip_blanks(text.strip_prefix(first)?);
        at_boundary(skip_blanks(remainder.strip_prefix(second)?))
    };
    let word = |word: &str| at_boundary(text.strip_prefix(word)?);
    [
        (Token::Contains, word("contains")),
        (Token::StartsWith, words("starts", "with")),
        (Token::EndsWith, words("ends", "with")),
        (Token::NotIn, words("not", "in")),
        (Token::In, word("in")),
    ]
    .into_iter()
    .find_map(|(token, remainder)| Some((token, remainder?)))
    .ok_or(SelectorError::Expected("an operator after the label"))
}

fn at_boundary(text: &str) -> Option<&str> {
    (!text.bytes().next().is_some_and(in_label)).then_some(text)
}

/// A label, or a word with its parenthesis. No blank may stand between the two.
fn word(text: &str) -> Result<(Token, &str), SelectorError> {
    if let Some(inside) = text.strip_prefix("has(") {
        let (label, remainder) = label(skip_blanks(inside))?;
        return Ok((Token::Has(label.to_owned()), after(skip_blanks(remainder), ")")?));
    }
    if let Some(inside) = text.strip_prefix("all(") {
        return Ok((Token::All, after(skip_blanks(inside), ")")?));
    }
    if let Some(inside) = text.strip_prefix("global(") {
        return Ok((Token::Global, after(skip_blanks(inside), ")")?));
    }
    let (label, remainder) = label(text)?;
    Ok((Token::Label(label.to_owned()), remainder))
}

fn label(text: &str) -> Result<(&str, &str), SelectorError> {
    let end = text.bytes().position(|byte| !in_label(byte)).unwrap_or(text.len());
    match end {
        0 => Err(SelectorError::Expected("a label")),
        // The bytes of a label are ASCII, so `end` is a character boundary.
        1..=MAX_LABEL => Ok(text.split_at(end)),
        _ => Err(SelectorError::LongLabel),
    }
}
