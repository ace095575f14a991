//! Grammar (projectcalico/calico:libcalico-go/lib/selector/parser/parser.go).

use std::collections::BTreeSet;

use super::token::{Token, tokens};
use super::{Comparison, MAX_DEPTH, MAX_LENGTH, Node};

/// Why a text is not a selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// Something else than the grammar wants.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A literal without its closing quote.
    #[error("a string is not closed")]
    Unterminated,
    /// A label of more than 512 bytes.
    #[error("a label is longer than 512 bytes")]
    LongLabel,
    /// A whole selector, and then more.
    #[error("text follows the end of the selector")]
    Trailing,
    /// Over [`MAX_LENGTH`]: Calico would read it, this engine does not.
    #[error("longer than {MAX_LENGTH} bytes, which is more than this engine reads")]
    TooLong,
    /// Over [`MAX_DEPTH`]: Calico would read it, this engine does not.
    #[error("nested deeper than {MAX_DEPTH}, which is more than this engine reads")]
    TooDeep,
}

impl SelectorError {
    /// Whether the text is refused by this engine's limits, not by Calico.
    pub fn is_limit(self) -> bool {
        matches!(self, Self::TooLong | Self::TooDeep)
    }
}

pub(super) fn parse(text: &str) -> Result<Node, SelectorError> {
    if text.len() > MAX_LENGTH {
        return Err(SelectorError::TooLong);
    }
    let tokens = tokens(text)?;
    if tokens == [Token::End] {
        return Ok(Node::All);
    }
    let mut parser = Parser { tokens: tokens.into_iter().peekable(), depth: 0 };
    let node = parser.any()?;
    match parser.next() {
        Token::End => Ok(node),
        _ => Err(SelectorError::Trailing),
    }
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    depth: usize,
}

impl Parser {
    fn next(&mut self) -> Token {
        self.tokens.next().unwrap_or(Token::End)
    }

    fn take(&mut self, token: &Token) -> bool {
        self.tokens.next_if_eq(token).is_some()
    }

    fn any(&mut self) -> Result<Node, SelectorError> {
        let first = self.every()?;
        let mut nodes = vec![first];
        while self.take(&Token::Or) {
            nodes.push(self.every()?);
        }
        Ok(single_or(nodes, Node::Or))
    }

    fn every(&mut self) -> Result<Node, SelectorError> {
        let first = self.operation()?;
        let mut nodes = vec![first];
        while self.take(&Token::And) {
            nodes.push(self.operation()?);
        }
        Ok(single_or(nodes, Node::And))
    }

    /// One comparison or parenthesis. Any number of `!` collapses to one or none, before the comparison:
    /// `!a == 'b'` is `!(a == 'b')`.
    fn operation(&mut self) -> Result<Node, SelectorError> {
        let mut negated = false;
        while self.take(&Token::Not) {
            negated = !negated;
        }
        let node = match self.next() {
            Token::Has(label) => Node::Has(label),
            Token::All => Node::All,
            Token::Global => Node::Global,
            Token::Label(label) => self.comparison(label)?,
            Token::LeftParen => self.parenthesis()?,
            _ => return Err(SelectorError::Expected("a comparison")),
        };
        Ok(if negated { Node::Not(Box::new(node)) } else { node })
    }

    fn parenthesis(&mut self) -> Result<Node, SelectorError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(SelectorError::TooDeep);
        }
        let node = self.any()?;
        self.depth -= 1;
        if self.take(&Token::RightParen) { Ok(node) } else { Err(SelectorError::Expected(")")) }
    }

    fn comparison(&mut self, label: String) -> Result<Node, SelectorError> {
        let comparison = match self.next() {
            Token::Equal => Comparison::Equal,
            Token::NotEqual => Comparison::NotEqual,
            Token::Contains => Comparison::Contains,
            Token::StartsWith => Comparison::StartsWith,
            Token::EndsWith => Comparison::EndsWith,
            Token::In => return self.set(label, false),
            Token::NotIn => return self.set(label, true),
            _ => return Err(SelectorError::Expected("an operator after the label")),
        };
        match self.next() {
            Token::Literal(value) => Ok(Node::Compare { label, comparison, value }),
            _ => Err(SelectorError::Expected("a quoted string")),
        }
    }

    fn set(&mut self, label: String, negated: bool) -> Result<Node, SelectorError> {
        if !self.take(&Token::LeftBrace) {
            return Err(SelectorError::Expected("{"));
        }
        let mut values = BTreeSet::new();
        while let Some(Token::Literal(value)) = self.tokens.next_if(|token| matches!(token, Token::Literal(_))) {
            values.insert(value);
            if !self.take(&Token::Comma) {
                break;
            }
        }
        if self.take(&Token::RightBrace) {
            Ok(Node::In { label, negated, values })
        } else {
            Err(SelectorError::Expected("}"))
        }
    }
}

fn single_or(mut nodes: Vec<Node>, join: fn(Vec<Node>) -> Node) -> Node {
    match nodes.pop() {
        Some(node) if nodes.is_empty() => node,
        last => {
            nodes.extend(last);
            join(nodes)
        }
    }
}
