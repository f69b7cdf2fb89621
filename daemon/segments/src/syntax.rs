//! Parses a text into a syntax tree with places. The only module that calls the parser.
//!
//! The parser is bounded by the length of the text and the depth of its nesting. `compile` reports
//! syntax that the parser accepts and Beadle does not support.

use crate::error::ExpressionError;
use crate::limits::MAX_EXPRESSION_BYTES;
use cel::common::ast::{CallExpr, Expr, IdedExpr, SourceInfo};
use cel::parser::{ParseError, Parser};
use std::ops::Range;

/// The maximum depth of nesting: it bounds the stack.
const MAX_DEPTH: u16 = 32;
/// The maximum depth of the tree: `a < a < a …` nests without parentheses.
const MAX_TREE_DEPTH: usize = 64;

/// A parsed expression.
pub struct Syntax<'a> {
    pub root: IdedExpr,
    info: SourceInfo,
    text: &'a str,
}

/// Parses an expression.
pub fn parse(text: &str) -> Result<Syntax<'_>, ExpressionError> {
    if text.len() > MAX_EXPRESSION_BYTES {
        let message =
            format!("an expression must have at most {MAX_EXPRESSION_BYTES} bytes; this one has {}", text.len());
        let help = "name a part of it as a segment of its own: `segment(\"NAME\")`";
        return Err(ExpressionError::new(0..text.len(), message).label("too long").help(help));
    }
    let parser = Parser::default().max_recursion_depth(MAX_DEPTH).error_recovery_limit(1);
    match parser.parse_with_source_info(text) {
        Ok((root, _)) if depth(&root) > MAX_TREE_DEPTH => {
            Err(ExpressionError::new(0..text.len(), "the expression is nested too deeply").label("simplify it"))
        }
        Ok((root, info)) => Ok(Syntax { root, info, text }),
        Err(errors) => Err(errors.errors.first().map_or_else(
            || ExpressionError::new(0..text.len(), "this is not an expression"),
            |error| syntax_error(text, error),
        )),
    }
}

/// The depth of a tree, without recursion: it may be deep.
fn depth(root: &IdedExpr) -> usize {
    let (mut deepest, mut open) = (0, vec![(root, 1)]);
    while let Some((expr, depth)) = open.pop() {
        deepest = deepest.max(depth);
        open.extend(children(expr).map(|child| (child, depth + 1)));
    }
    deepest
}

/// The parts that an expression consists of, as far as `compile` looks into them.
fn children(expr: &IdedExpr) -> Box<dyn Iterator<Item = &IdedExpr> + '_> {
    match &expr.expr {
        Expr::Call(CallExpr { target, args, .. }) => Box::new(target.as_deref().into_iter().chain(args)),
        Expr::Select(select) => Box::new(std::iter::once(&*select.operand)),
        Expr::List(list) => Box::new(list.elements.iter()),
        _ => Box::new(std::iter::empty()),
    }
}

impl Syntax<'_> {
    /// Where an expression is in the text, without parentheses around it.
    pub fn span(&self, expr: &IdedExpr) -> Range<usize> {
        let (mut start, mut end) = self.token(expr);
        for child in children(expr) {
            let span = self.span(child);
            (start, end) = (start.min(span.start), end.max(span.end));
        }
        // Closing brackets that belong to it have no place of their own.
        let close = match &expr.expr {
            Expr::List(_) => Some(']'),
            Expr::Call(call) if call.func_name == "_[_]" => Some(']'),
            Expr::Call(call) if !is_operator(&call.func_name) => Some(')'),
            Expr::Select(select) if select.test => Some(')'),
            _ => None,
        };
        let rest = self.text.get(end..).unwrap_or_default();
        if let Some(close) = close
            && let Some(skipped) = rest.find(|c: char| !c.is_whitespace() && c != ',')
            && rest.get(skipped..).is_some_and(|rest| rest.starts_with(close))
        {
            end += skipped + close.len_utf8();
        }
        start..end.min(self.text.len()).max(start)
    }

    /// Where the token of an expression is: its operator, its name or its literal.
    fn token(&self, expr: &IdedExpr) -> (usize, usize) {
        let (first, last) = self.info.offset_for(expr.id).unwrap_or_default();
        let (first, last) = (first as usize, last as usize + 1);
        let before = |name: &str| {
            let text = self.text.get(..first).unwrap_or_default().trim_end();
            if text.ends_with(name) { text.len() - name.len() } else { first }
        };
        match &expr.expr {
            // The parser gives a function the place of its parenthesis, and a field that of its
            // dot.
            Expr::Call(call) if call.target.is_none() && !is_operator(&call.func_name) => {
                (before(&call.func_name), last)
            }
            // A macro, of which only the parenthesis is known.
            Expr::Comprehension(_) => {
                let text = self.text.get(..first).unwrap_or_default().trim_end();
                let name = text.rfind(|c: char| !c.is_alphanumeric()).map_or(0, |at| at + 1);
                (name, text.len().max(name))
            }
            Expr::Select(select) if select.test => (before("has"), self.after_field(last, &select.field)),
            Expr::Select(select) => (first, self.after_field(last, &select.field)),
            // The parser's place of a number does not include its sign.
            Expr::Literal(_) if self.text.get(..first).is_some_and(|text| text.ends_with('-')) => {
                let is_negative =
                    self.text.get(..first).and_then(|text| text.trim_end_matches('-').chars().next_back());
                (first - usize::from(is_negative.is_none_or(|c| !c.is_alphanumeric())), last)
            }
            _ => (first, last),
        }
    }

    fn after_field(&self, from: usize, field: &str) -> usize {
        let rest = self.text.get(from..).unwrap_or_default();
        rest.find(field).map_or(from, |at| from + at + field.len())
    }

    /// The text of a place.
    pub fn text(&self, span: &Range<usize>) -> &str {
        self.text.get(span.clone()).unwrap_or_default()
    }
}

/// Whether the name is the parser's name for an operator: `_&&_`, `@in`, `-_`.
fn is_operator(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_alphabetic())
}

/// The parser's error in plain words.
fn syntax_error(text: &str, error: &ParseError) -> ExpressionError {
    let at = offset(text, error.pos);
    let rest = text.get(at..).unwrap_or_default();
    let quoted = |before: &str| {
        let (_, rest) = error.msg.split_once(before)?;
        rest.split_once('\'').map(|(token, _)| token.to_owned())
    };
    let unexpected = quoted("mismatched input '").or_else(|| quoted("extraneous input '")).or_else(|| quoted(" at '"));
    if unexpected.as_deref() == Some("<EOF>") {
        let end = text.trim_end().len();
        let start = text.get(..end).and_then(|text| text.char_indices().next_back()).map_or(0, |(at, _)| at);
        let (message, label) = match text.trim().is_empty() {
            true => ("the expression is empty", "such as `\"vip\" in tags`"),
            false => ("the expression ends too early", "something must follow"),
        };
        return ExpressionError::new(start..end.max(start), message).label(label);
    }
    if error.msg.contains("recursion limit") {
        return ExpressionError::new(at..text.len(), "the expression is nested too deeply").label("simplify it");
    }
    let token = match &unexpected {
        Some(token) if rest.starts_with(token.as_str()) => token.len(),
        // A whole word, else one character.
        _ => match rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len()) {
            0 => rest.chars().next().map_or(0, char::len_utf8),
            word => word,
        },
    };
    let found = rest.get(..token).unwrap_or_default();
    let error = ExpressionError::new(
        at..at + token,
        match (error.msg.strip_prefix("reserved identifier: "), found) {
            (Some(word), _) => format!("`{word}` is a reserved word"),
            (None, _) if error.msg.contains("has() macro") => "`has` needs an attribute: `has(attributes.NAME)`".into(),
            (None, "\"" | "'") => "a text without a closing quote".into(),
            (None, "") => "this is not an expression".into(),
            (None, found) => format!("`{found}` is not expected here"),
        },
    );
    match found.to_ascii_lowercase().as_str() {
        "and" => error.label("write `&&`"),
        "or" => error.label("write `||`"),
        "not" => error.label("write `!`"),
        "=" => error.label("write `==`"),
        "<>" => error.label("write `!=`"),
        "\"" | "'" => error.label("begins here"),
        _ => error.label("invalid syntax"),
    }
}

/// The offset of a line and a column, both from 1; columns count characters.
fn offset(text: &str, (line, column): (isize, isize)) -> usize {
    let (line, column) = (usize::try_from(line).unwrap_or(1).max(1), usize::try_from(column).unwrap_or(1).max(1));
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let rest = text.get(start..).unwrap_or_default();
    start + rest.char_indices().nth(column - 1).map_or(rest.len(), |(at, _)| at)
}
