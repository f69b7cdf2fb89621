//! Compiles a syntax tree into a checked expression. Every name must be known, both sides of a
//! comparison must have one type, and a text must be a possible value of the fact that it is
//! compared with: `country == "uk"` would select nobody, without an error.

use crate::error::ExpressionError;
use crate::expression::{
    Affix, Base, Comparison, Definitions, Field, Flag, Kind, Ordered, Segment, SetField, Test, TextField, TimeField,
};
use crate::limits::{MAX_SEGMENTS, MAX_TESTS, MAX_TESTS_IN_ALL};
use crate::syntax::{Syntax, parse};
use beadle_model::consent::ConsentState;
use beadle_model::profile::{AttributeType, AttributeTypes, check_tag};
use beadle_model::time::DAY_MS;
use beadle_model::{Purpose, Role, is_language_tag};
use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SelectExpr};
use std::collections::{BTreeMap, BTreeSet};

/// The names that expressions may use, as other sections of the configuration declare them.
pub struct Vocabulary<'a> {
    /// The declared attributes.
    pub attributes: &'a AttributeTypes,
    /// The configured channels.
    pub channels: BTreeSet<&'a str>,
    /// The purposes that wordings are declared for.
    pub purposes: BTreeSet<Purpose>,
    /// The time zone of dates.
    pub timezone: &'a str,
    /// Reads a duration in milliseconds.
    pub parse_duration: fn(&str) -> Option<i64>,
    /// Checks the name of a time zone; an error says what is wrong.
    pub check_timezone: fn(&str) -> Result<(), String>,
}

/// A segment as it is configured.
#[derive(Clone, Debug)]
pub struct SegmentSource {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// The expression.
    pub expression: String,
}

/// Problems of segments: the segment's name, and the problem.
pub(crate) type Problems = Vec<(String, ExpressionError)>;

/// Checks all segments. Returns them with warnings, or all errors; both with the segment's name.
pub fn compile(sources: &[SegmentSource], vocabulary: &Vocabulary<'_>) -> Result<(Definitions, Problems), Problems> {
    let names: BTreeSet<&str> = sources.iter().map(|source| source.name.as_str()).collect();
    let (mut errors, mut warnings, mut segments) = (Problems::new(), Problems::new(), BTreeMap::new());
    for (number, source) in sources.iter().enumerate() {
        let note = |found: Vec<ExpressionError>| found.into_iter().map(|error| (source.name.clone(), error));
        if number == MAX_SEGMENTS {
            let message = format!("there must be at most {MAX_SEGMENTS} segments");
            errors.extend(note(vec![ExpressionError::new(0..source.expression.len(), message).label("one too many")]));
            break;
        }
        let syntax = match parse(&source.expression) {
            Ok(syntax) => syntax,
            Err(error) => {
                errors.extend(note(vec![error]));
                continue;
            }
        };
        let mut checker = Checker { syntax: &syntax, vocabulary, segments: &names, errors: vec![], warnings: vec![] };
        let test = checker.test(&syntax.root);
        warnings.extend(note(checker.warnings));
        if checker.errors.is_empty()
            && let Some(test) = test
        {
            let size = test.size();
            if size > MAX_TESTS {
                let message = format!("an expression must have at most {MAX_TESTS} parts; this one has {size}");
                errors.extend(note(vec![ExpressionError::new(test.span, message).label("too many")]));
                continue;
            }
            let SegmentSource { name, description, expression } = source.clone();
            segments.insert(name.clone(), Segment { name, description, source: expression, test });
        }
        errors.extend(note(checker.errors));
    }
    errors.extend(circles(&segments));
    if errors.is_empty() {
        errors.extend(oversized(&segments));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok((Definitions { segments, timezone: vocabulary.timezone.to_owned() }, warnings))
}

/// Segments that name themselves, directly or through others.
fn circles(segments: &BTreeMap<String, Segment>) -> Problems {
    let mut problems = Problems::new();
    for segment in segments.values() {
        let (mut open, mut seen) = (vec![segment.name.clone()], BTreeSet::new());
        while let Some(name) = open.pop() {
            let Some(named) = segments.get(&name).map(Segment::named_segments) else { continue };
            if named.contains(&segment.name) {
                let by = if name == segment.name { String::new() } else { format!(" through `{name}`") };
                let message = format!("segment `{}` names itself{by}", segment.name);
                let error = ExpressionError::new(segment.test.span.clone(), message).label("a circle of segments");
                problems.push((segment.name.clone(), error));
                break;
            }
            open.extend(named.into_iter().filter(|name| seen.insert(name.clone())));
        }
    }
    problems
}

/// Segments that are too large together with those that they name. They must not form a circle.
fn oversized(segments: &BTreeMap<String, Segment>) -> Problems {
    fn size(test: &Test, segments: &BTreeMap<String, Segment>, known: &mut BTreeMap<String, usize>) -> usize {
        let mut named = Vec::new();
        let mut sum = 0usize;
        test.visit(&mut |kind| {
            sum += 1;
            if let Kind::InSegment(name) = kind {
                named.push(name.clone());
            }
        });
        for name in named {
            let inner = match known.get(&name) {
                Some(size) => *size,
                None => {
                    let inner = segments.get(&name).map_or(0, |segment| size(&segment.test, segments, known));
                    known.insert(name, inner);
                    inner
                }
            };
            sum = sum.saturating_add(inner);
        }
        sum
    }
    let mut known = BTreeMap::new();
    let mut problems = Problems::new();
    for segment in segments.values() {
        let parts = size(&segment.test, segments, &mut known);
        if parts > MAX_TESTS_IN_ALL {
            let message = format!(
                "segment `{}` has {parts} parts together with the segments that it names; the maximum is {MAX_TESTS_IN_ALL}",
                segment.name
            );
            let error = ExpressionError::new(segment.test.span.clone(), message).label("too large");
            problems.push((segment.name.clone(), error));
        }
    }
    problems
}

/// A value whose use is not known yet.
enum Operand {
    Boolean(Test),
    Text(TextField),
    Literal(String),
    Ordered(Sort, Ordered),
    Duration(i64),
    Set(SetField),
    ConsentState(Purpose),
    Null,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Number,
    Time,
    Date,
}

/// The names without arguments.
const NAMES: [&str; 22] = [
    "attributes",
    "channels",
    "consent",
    "consent_state",
    "country",
    "created",
    "groups",
    "joined",
    "language",
    "last_inbound",
    "marketing_stopped",
    "member",
    "name",
    "now",
    "open_windows",
    "opted_out",
    "quarantined",
    "role",
    "tags",
    "today",
    "window_open",
    "zone",
];
/// The functions.
const FUNCTIONS: [&str; 9] =
    ["date", "duration", "endsWith", "has", "list", "segment", "startsWith", "contains", "timestamp"];

struct Checker<'a> {
    syntax: &'a Syntax<'a>,
    vocabulary: &'a Vocabulary<'a>,
    segments: &'a BTreeSet<&'a str>,
    errors: Vec<ExpressionError>,
    warnings: Vec<ExpressionError>,
}

impl Checker<'_> {
    fn fail<T>(&mut self, error: ExpressionError) -> Option<T> {
        self.errors.push(error);
        None
    }

    fn error(&self, expr: &IdedExpr, message: impl Into<String>) -> ExpressionError {
        ExpressionError::new(self.syntax.span(expr), message)
    }

    fn quote(&self, expr: &IdedExpr) -> String {
        let text = self.syntax.text(&self.syntax.span(expr)).split_whitespace().collect::<Vec<_>>().join(" ");
        match text.char_indices().nth(60) {
            Some((at, _)) => format!("`{}…`", text.get(..at).unwrap_or_default()),
            None => format!("`{text}`"),
        }
    }

    fn new_test(&self, expr: &IdedExpr, kind: Kind) -> Option<Test> {
        Some(Test { span: self.syntax.span(expr), kind })
    }

    /// A part that must be true or false.
    fn test(&mut self, expr: &IdedExpr) -> Option<Test> {
        match self.operand(expr)? {
            Operand::Boolean(test) => Some(test),
            other => {
                let message = format!("{} is {}, not true or false", self.quote(expr), describe(&other));
                let error = self.error(expr, message);
                let example = match other {
                    Operand::Set(_) => "test what is in it: `\"…\" in …`",
                    Operand::Ordered(Sort::Time, _) => {
                        "compare it, such as `< now - duration(\"30d\")`, or with `!= null`"
                    }
                    _ => "compare it with `==`, `!=`, `<` or `in`",
                };
                self.fail(error.label("must be true or false").help(example))
            }
        }
    }

    fn operand(&mut self, expr: &IdedExpr) -> Option<Operand> {
        match &expr.expr {
            Expr::Literal(literal) => self.literal(expr, literal),
            Expr::Ident(name) => self.named(expr, name),
            Expr::Select(SelectExpr { operand, field, test }) => self.member(expr, operand, field, *test),
            Expr::Call(call) => self.call(expr, call),
            Expr::List(_) => {
                let error = self.error(expr, "a list of values is only allowed to the right of `in`");
                self.fail(error.label("such as `role in [\"admin\", \"owner\"]`"))
            }
            Expr::Comprehension(_) => {
                let error = self.error(expr, "`all`, `exists`, `map` and `filter` are not supported");
                self.fail(error.label("test single values: `\"…\" in tags`"))
            }
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                let error = self.error(expr, "maps and structures are not supported");
                self.fail(error.label("not part of a segment's language"))
            }
        }
    }

    fn literal(&mut self, expr: &IdedExpr, literal: &LiteralValue) -> Option<Operand> {
        let number =
            |value: f64| Some(Operand::Ordered(Sort::Number, Ordered { base: Base::Number(value), offset: 0 }));
        match literal {
            LiteralValue::Boolean(value) => self.new_test(expr, Kind::Constant(*value.inner())).map(Operand::Boolean),
            LiteralValue::String(text) => Some(Operand::Literal(text.inner().to_owned())),
            LiteralValue::Int(value) => number(*value.inner() as f64),
            LiteralValue::UInt(value) => number(*value.inner() as f64),
            LiteralValue::Double(value) => number(*value.inner()),
            LiteralValue::Null => Some(Operand::Null),
            LiteralValue::Bytes(_) => {
                let error = self.error(expr, "bytes are not supported");
                self.fail(error.label("write a text: \"…\""))
            }
        }
    }

    fn named(&mut self, expr: &IdedExpr, name: &str) -> Option<Operand> {
        let flag = |flag| self.new_test(expr, Kind::Flag(flag)).map(Operand::Boolean);
        let ordered = |sort, base| Some(Operand::Ordered(sort, Ordered { base, offset: 0 }));
        match name {
            "member" => flag(Flag::Member),
            "opted_out" => flag(Flag::OptedOut),
            "quarantined" => flag(Flag::Quarantined),
            "marketing_stopped" => flag(Flag::MarketingStopped),
            "window_open" => flag(Flag::WindowOpen),
            "name" => Some(Operand::Text(TextField::Name)),
            "language" => Some(Operand::Text(TextField::Language)),
            "zone" => Some(Operand::Text(TextField::Zone)),
            "country" => Some(Operand::Text(TextField::Country)),
            "role" => Some(Operand::Text(TextField::Role)),
            "tags" => Some(Operand::Set(SetField::Tags)),
            "channels" => Some(Operand::Set(SetField::Channels)),
            "open_windows" => Some(Operand::Set(SetField::OpenWindows)),
            "groups" => Some(Operand::Set(SetField::Groups)),
            "joined" => ordered(Sort::Time, Base::Time(TimeField::Joined)),
            "created" => ordered(Sort::Time, Base::Time(TimeField::Created)),
            "last_inbound" => ordered(Sort::Time, Base::Time(TimeField::LastInbound)),
            "now" => ordered(Sort::Time, Base::Now),
            "today" => ordered(Sort::Date, Base::Today),
            "attributes" | "consent" | "consent_state" => {
                let example = match name {
                    "attributes" => "attributes.NAME",
                    "consent" => "consent.marketing` or `consent[\"marketing:TOPIC\"]",
                    _ => "consent_state.marketing == \"withdrawn\"",
                };
                let error = self.error(expr, format!("`{name}` needs a name: `{example}`"));
                self.fail(error.label("a name must follow"))
            }
            _ => self.unknown(expr, "name", name, &NAMES),
        }
    }

    /// Reports a name that does not exist.
    fn unknown<T>(&mut self, expr: &IdedExpr, noun: &str, name: &str, known: &[&str]) -> Option<T> {
        let error = self.error(expr, format!("unknown {noun} `{name}`")).label("does not exist");
        let error = match nearest(name, known) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error.help(match known {
                [] => format!("no {noun} exists"),
                known => format!("must be one of {}", listed(known)),
            }),
        };
        self.fail(error)
    }

    /// `attributes.NAME`, `consent.PURPOSE`, `has(attributes.NAME)`.
    fn member(&mut self, expr: &IdedExpr, operand: &IdedExpr, field: &str, is_test: bool) -> Option<Operand> {
        match (&operand.expr, is_test) {
            (Expr::Ident(object), false) if object == "attributes" => self.attribute(expr, field),
            (Expr::Ident(object), true) if object == "attributes" => {
                self.attribute(expr, field)?;
                self.new_test(expr, Kind::IsSet(Field::Attribute(field.to_owned()))).map(Operand::Boolean)
            }
            (Expr::Ident(object), false) if object == "consent" || object == "consent_state" => {
                self.consent(expr, object, field)
            }
            (_, true) => {
                let error = self.error(expr, "`has` is for attributes: `has(attributes.NAME)`");
                self.fail(error.label("write `… != null` for other facts"))
            }
            _ => {
                let error = self.error(expr, format!("{} has no parts", self.quote(operand)));
                self.fail(error.label(format!("`.{field}` does not exist")))
            }
        }
    }

    fn attribute(&mut self, expr: &IdedExpr, name: &str) -> Option<Operand> {
        let vocabulary = self.vocabulary;
        let Some(declared) = vocabulary.attributes.get(name) else {
            let known: Vec<&str> = vocabulary.attributes.keys().map(String::as_str).collect();
            let error = self.error(expr, format!("attribute `{name}` is not declared"));
            let help = match nearest(name, &known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "declare it in `[contacts.attributes]`".into(),
            };
            return self.fail(error.label("unknown attribute").help(help));
        };
        let ordered = |sort, base| Operand::Ordered(sort, Ordered { base, offset: 0 });
        Some(match declared {
            AttributeType::Text | AttributeType::Choice(_) => Operand::Text(TextField::Attribute(name.to_owned())),
            AttributeType::Number => ordered(Sort::Number, Base::NumberAttribute(name.to_owned())),
            AttributeType::Date => ordered(Sort::Date, Base::DateAttribute(name.to_owned())),
            AttributeType::Boolean => Operand::Boolean(self.new_test(expr, Kind::Is(name.to_owned(), true))?),
            AttributeType::Choices(_) => Operand::Set(SetField::Attribute(name.to_owned())),
        })
    }

    fn consent(&mut self, expr: &IdedExpr, object: &str, purpose: &str) -> Option<Operand> {
        let known: Purpose = match purpose.parse() {
            Ok(purpose) => purpose,
            Err(error) => {
                let text = format!("{error}");
                let error = self.error(expr, text);
                return self.fail(error.label("unknown purpose"));
            }
        };
        if matches!(known, Purpose::MarketingTopic(_)) && !self.vocabulary.purposes.contains(&known) {
            let warning = self.error(expr, format!("no wording in `[consents.wordings]` has the purpose `{known}`"));
            self.warnings.push(warning.label("no wording records a consent for it"));
        }
        match object {
            "consent" => self.new_test(expr, Kind::Consent(known, ConsentState::Granted)).map(Operand::Boolean),
            _ => Some(Operand::ConsentState(known)),
        }
    }

    fn call(&mut self, expr: &IdedExpr, call: &CallExpr) -> Option<Operand> {
        let CallExpr { func_name, target, args } = call;
        match (func_name.as_str(), target.as_deref(), args.as_slice()) {
            ("_&&_", None, _) => self.joined(expr, func_name, Kind::All),
            ("_||_", None, _) => self.joined(expr, func_name, Kind::Any),
            ("!_", None, [inner]) => {
                let inner = self.test(inner)?;
                self.new_test(expr, Kind::Not(Box::new(inner))).map(Operand::Boolean)
            }
            ("_==_", None, [left, right]) => self.equal(expr, left, right).map(Operand::Boolean),
            ("_!=_", None, [left, right]) => {
                let equal = self.equal(expr, left, right)?;
                self.new_test(expr, Kind::Not(Box::new(equal))).map(Operand::Boolean)
            }
            ("_<_", None, [left, right]) => self.compare(expr, left, Comparison::Less, right),
            ("_<=_", None, [left, right]) => self.compare(expr, left, Comparison::LessOrEqual, right),
            ("_>_", None, [left, right]) => self.compare(expr, left, Comparison::Greater, right),
            ("_>=_", None, [left, right]) => self.compare(expr, left, Comparison::GreaterOrEqual, right),
            ("@in", None, [left, right]) => self.is_in(expr, left, right).map(Operand::Boolean),
            ("_[_]", None, [object, key]) => self.index(expr, object, key),
            ("_+_", None, [left, right]) => self.shift(expr, left, right, 1),
            ("_-_", None, [left, right]) => self.shift(expr, left, right, -1),
            (name @ ("segment" | "list" | "duration" | "timestamp" | "date"), None, [argument]) => {
                let Expr::Literal(LiteralValue::String(text)) = &argument.expr else {
                    let error = self.error(argument, format!("`{name}` needs a text in quotes"));
                    return self.fail(error.label(format!("such as `{}`", example(name))));
                };
                self.function(expr, argument, name, text.inner())
            }
            (name @ ("startsWith" | "endsWith" | "contains"), Some(target), [argument]) => {
                self.affix(expr, name, target, argument)
            }
            (name, _, _) if FUNCTIONS.contains(&name) => {
                let error = self.error(expr, format!("`{name}` is used as `{}`", example(name)));
                self.fail(error.label("wrong arguments"))
            }
            (name, _, _) if name.starts_with(char::is_alphabetic) => self.unknown(expr, "function", name, &FUNCTIONS),
            _ => {
                let error = self.error(expr, "this operator is not supported");
                let help = "the operators are `&&`, `||`, `!`, `==`, `!=`, `<`, `<=`, `>`, `>=`, `in`, and `+` and `-` with durations";
                self.fail(error.label("not part of a segment's language").help(help))
            }
        }
    }

    /// `a && b && c` as one list of parts.
    fn joined(&mut self, expr: &IdedExpr, operator: &str, kind: fn(Vec<Test>) -> Kind) -> Option<Operand> {
        let (mut open, mut parts, mut is_complete) = (vec![expr], Vec::new(), true);
        while let Some(part) = open.pop() {
            match &part.expr {
                Expr::Call(call) if call.func_name == operator => open.extend(call.args.iter().rev()),
                _ => match self.test(part) {
                    Some(test) => parts.push(test),
                    None => is_complete = false,
                },
            }
        }
        if !is_complete {
            return None;
        }
        self.new_test(expr, kind(parts)).map(Operand::Boolean)
    }

    fn equal(&mut self, expr: &IdedExpr, left: &IdedExpr, right: &IdedExpr) -> Option<Test> {
        let (one, other) = (self.operand(left), self.operand(right));
        let kind = match (one?, other?) {
            (Operand::Null, Operand::Null) => Kind::Constant(true),
            (Operand::Null, value) => Kind::Not(Box::new(self.is_set(expr, right, value)?)),
            (value, Operand::Null) => Kind::Not(Box::new(self.is_set(expr, left, value)?)),
            (Operand::Text(field), Operand::Literal(text)) => {
                Kind::OneOf(field.clone(), vec![self.text_of(&field, right, text)?])
            }
            (Operand::Literal(text), Operand::Text(field)) => {
                Kind::OneOf(field.clone(), vec![self.text_of(&field, left, text)?])
            }
            (Operand::ConsentState(purpose), Operand::Literal(text)) => {
                Kind::Consent(purpose, self.consent_state(right, &text)?)
            }
            (Operand::Literal(text), Operand::ConsentState(purpose)) => {
                Kind::Consent(purpose, self.consent_state(left, &text)?)
            }
            (Operand::Ordered(sort, one), Operand::Ordered(other_sort, other)) if sort == other_sort => {
                Kind::Compare(one, Comparison::Equal, other)
            }
            (Operand::Boolean(one), Operand::Boolean(other)) => same(one, other),
            (one, other) => return self.mismatch(expr, (left, &one), (right, &other)),
        };
        self.new_test(expr, kind)
    }

    fn is_set(&mut self, expr: &IdedExpr, value: &IdedExpr, operand: Operand) -> Option<Test> {
        let field = match operand {
            Operand::Text(TextField::Role) => None,
            Operand::Text(field) => Some(Field::Text(field)),
            Operand::Boolean(Test { kind: Kind::Is(name, true), .. })
            | Operand::Ordered(
                _,
                Ordered { base: Base::NumberAttribute(name) | Base::DateAttribute(name), offset: 0 },
            )
            | Operand::Set(SetField::Attribute(name)) => Some(Field::Attribute(name)),
            Operand::Ordered(_, Ordered { base: Base::Time(field), offset: 0 }) if field != TimeField::Created => {
                Some(Field::Time(field))
            }
            _ => None,
        };
        match field {
            Some(field) => self.new_test(expr, Kind::IsSet(field)),
            None => {
                let error = self.error(value, format!("{} is never missing", self.quote(value)));
                self.fail(error.label("cannot be compared with `null`"))
            }
        }
    }

    fn compare(
        &mut self,
        expr: &IdedExpr,
        left: &IdedExpr,
        comparison: Comparison,
        right: &IdedExpr,
    ) -> Option<Operand> {
        let (one, other) = (self.operand(left), self.operand(right));
        match (one?, other?) {
            (Operand::Ordered(sort, one), Operand::Ordered(other_sort, other)) if sort == other_sort => {
                self.new_test(expr, Kind::Compare(one, comparison, other)).map(Operand::Boolean)
            }
            (Operand::Text(_) | Operand::Literal(_), Operand::Text(_) | Operand::Literal(_)) => {
                let error = self.error(expr, "texts have no order");
                self.fail(error.label("compare them with `==`, `!=` or `in`"))
            }
            (one, other) => self.mismatch(expr, (left, &one), (right, &other)),
        }
    }

    /// Reports two values that cannot be compared.
    fn mismatch<T>(
        &mut self,
        expr: &IdedExpr,
        (left, one): (&IdedExpr, &Operand),
        (right, other): (&IdedExpr, &Operand),
    ) -> Option<T> {
        let message = format!(
            "{} is {} and {} is {}; they cannot be compared",
            self.quote(left),
            describe(one),
            self.quote(right),
            describe(other)
        );
        let help = match (one, other) {
            (Operand::Ordered(Sort::Time, _), Operand::Literal(text)) => Some(format!("write `timestamp(\"{text}\")`")),
            (Operand::Ordered(Sort::Date, _), Operand::Literal(text)) => Some(format!("write `date(\"{text}\")`")),
            (Operand::Ordered(Sort::Number, _), Operand::Literal(_)) => Some("write the number without quotes".into()),
            (Operand::Ordered(Sort::Time, _), Operand::Ordered(Sort::Date, _)) => {
                Some("write `timestamp(\"…\")` instead of `date(\"…\")`, and `now` instead of `today`".into())
            }
            (Operand::Ordered(Sort::Date, _), Operand::Ordered(Sort::Time, _)) => {
                Some("write `date(\"…\")` instead of `timestamp(\"…\")`, and `today` instead of `now`".into())
            }
            (Operand::Ordered(Sort::Time, _), Operand::Duration(_)) => {
                Some(format!("write `now - {}`", self.syntax.text(&self.syntax.span(right))))
            }
            (Operand::Set(_), Operand::Literal(text)) => {
                Some(format!("write `\"{text}\" in {}`", self.syntax.text(&self.syntax.span(left))))
            }
            (Operand::Text(_), Operand::Text(_)) => Some("compare a fact with a text in quotes".into()),
            _ => None,
        };
        let mut error = self.error(expr, message).label("different types");
        error.help = help;
        self.fail(error)
    }

    fn is_in(&mut self, expr: &IdedExpr, left: &IdedExpr, right: &IdedExpr) -> Option<Test> {
        if let Expr::List(list) = &right.expr {
            return self.one_of(expr, left, right, &list.elements);
        }
        let (one, other) = (self.operand(left), self.operand(right));
        match (one?, other?) {
            (Operand::Literal(text), Operand::Set(field)) => {
                let text = self.item_of(&field, left, text)?;
                self.new_test(expr, Kind::Contains(field, text))
            }
            (one, other) => {
                let message = format!(
                    "`in` needs a text and a set, or a fact and a list of values; {} is {} and {} is {}",
                    self.quote(left),
                    describe(&one),
                    self.quote(right),
                    describe(&other)
                );
                let error = self.error(expr, message);
                self.fail(error.label("such as `\"vip\" in tags` or `country in [\"NL\", \"DE\"]`"))
            }
        }
    }

    fn one_of(&mut self, expr: &IdedExpr, left: &IdedExpr, right: &IdedExpr, items: &[IdedExpr]) -> Option<Test> {
        if items.is_empty() {
            let error = self.error(right, "the list of values is empty");
            return self.fail(error.label("must contain a value"));
        }
        match self.operand(left)? {
            Operand::Text(field) => {
                let mut texts = Vec::new();
                for item in items {
                    match &item.expr {
                        Expr::Literal(LiteralValue::String(text)) => {
                            texts.push(self.text_of(&field, item, text.inner().to_owned()));
                        }
                        _ => {
                            let error = self.error(item, "the list must have texts in quotes only");
                            texts.push(self.fail(error.label("not a text")));
                        }
                    }
                }
                let texts = texts.into_iter().collect::<Option<Vec<_>>>()?;
                self.new_test(expr, Kind::OneOf(field, texts))
            }
            Operand::ConsentState(_) | Operand::Ordered(..) => {
                let parts: Option<Vec<Test>> = items.iter().map(|item| self.equal(item, left, item)).collect();
                self.new_test(expr, Kind::Any(parts?))
            }
            other => {
                let error = self.error(
                    left,
                    format!("{} is {}, which cannot be in a list of values", self.quote(left), describe(&other)),
                );
                self.fail(error.label("must be a single fact, such as `role`"))
            }
        }
    }

    fn index(&mut self, expr: &IdedExpr, object: &IdedExpr, key: &IdedExpr) -> Option<Operand> {
        match (&object.expr, &key.expr) {
            (Expr::Ident(object), Expr::Literal(LiteralValue::String(key))) => match object.as_str() {
                "attributes" => self.attribute(expr, key.inner()),
                "consent" | "consent_state" => self.consent(expr, object, key.inner()),
                _ => {
                    let error = self.error(expr, format!("`{object}` has no parts"));
                    self.fail(error.label("`[…]` is for `attributes`, `consent` and `consent_state`"))
                }
            },
            _ => {
                let error = self.error(expr, "`[…]` needs a text in quotes");
                self.fail(error.label("such as `consent[\"marketing:news\"]`"))
            }
        }
    }

    /// A time or date, and a duration that is added or subtracted.
    fn shift(&mut self, expr: &IdedExpr, left: &IdedExpr, right: &IdedExpr, sign: i64) -> Option<Operand> {
        let (one, other) = (self.operand(left), self.operand(right));
        let (sort, base, ms) = match (one?, other?) {
            (Operand::Ordered(sort, base), Operand::Duration(ms)) if sort != Sort::Number => (sort, base, ms),
            (Operand::Duration(ms), Operand::Ordered(sort, base)) if sort != Sort::Number && sign > 0 => {
                (sort, base, ms)
            }
            (one, other) => {
                let message = format!(
                    "`+` and `-` need a time and a duration; {} is {} and {} is {}",
                    self.quote(left),
                    describe(&one),
                    self.quote(right),
                    describe(&other)
                );
                let error = self.error(expr, message);
                return self.fail(error.label("such as `now - duration(\"30d\")`"));
            }
        };
        let by = match sort {
            Sort::Date if ms % DAY_MS != 0 => {
                let error = self.error(expr, "dates are counted in days");
                return self.fail(error.label("write a duration of whole days, such as `duration(\"30d\")`"));
            }
            Sort::Date => ms / DAY_MS,
            _ => ms,
        };
        let offset = base.offset.saturating_add(sign.saturating_mul(by));
        Some(Operand::Ordered(sort, Ordered { base: base.base, offset }))
    }

    /// A function of one text.
    fn function(&mut self, expr: &IdedExpr, argument: &IdedExpr, name: &str, text: &str) -> Option<Operand> {
        match name {
            "segment" => {
                if !self.segments.contains(text) {
                    let known: Vec<&str> = self.segments.iter().copied().collect();
                    return self.unknown(argument, "segment", text, &known);
                }
                self.new_test(expr, Kind::InSegment(text.to_owned())).map(Operand::Boolean)
            }
            "list" => self.new_test(expr, Kind::OnList(text.to_owned())).map(Operand::Boolean),
            "duration" => match (self.vocabulary.parse_duration)(text) {
                Some(ms) => Some(Operand::Duration(ms)),
                None => {
                    let error = self.error(argument, format!("`{text}` is not a duration"));
                    self.fail(error.label("a number with a unit (s, m, h or d), such as \"30d\""))
                }
            },
            "timestamp" => match time(text, self.vocabulary.timezone) {
                Some(ms) => Some(Operand::Ordered(Sort::Time, Ordered { base: Base::At(ms), offset: 0 })),
                None => {
                    let error = self.error(argument, format!("`{text}` is not a time"));
                    self.fail(error.label("such as \"2026-11-29T18:00:00Z\" or \"2026-11-29\""))
                }
            },
            _ => match day(text) {
                Some(days) => Some(Operand::Ordered(Sort::Date, Ordered { base: Base::Day(days), offset: 0 })),
                None => {
                    let error = self.error(argument, format!("`{text}` is not a date"));
                    self.fail(error.label("such as \"2026-11-29\""))
                }
            },
        }
    }

    fn affix(&mut self, expr: &IdedExpr, name: &str, target: &IdedExpr, argument: &IdedExpr) -> Option<Operand> {
        let (one, other) = (self.operand(target), self.operand(argument));
        match (one?, other?) {
            (Operand::Text(field), Operand::Literal(text)) if !text.is_empty() => {
                let affix = match name {
                    "startsWith" => Affix::Prefix,
                    "endsWith" => Affix::Suffix,
                    _ => Affix::Anywhere,
                };
                self.new_test(expr, Kind::Affix(field, affix, text)).map(Operand::Boolean)
            }
            (Operand::Set(_), _) => {
                let error = self.error(expr, format!("{} is a set of texts", self.quote(target)));
                let text = self.syntax.text(&self.syntax.span(argument)).to_owned();
                let set = self.syntax.text(&self.syntax.span(target)).to_owned();
                self.fail(error.label(format!("write `{text} in {set}`")))
            }
            _ => {
                let error = self.error(expr, format!("`{name}` is used as `{}`", example(name)));
                self.fail(error.label("needs a fact that is a text, and a text in quotes"))
            }
        }
    }

    /// A text that is compared with a fact, if the fact can have it.
    fn text_of(&mut self, field: &TextField, expr: &IdedExpr, text: String) -> Option<String> {
        let problem = match field {
            TextField::Name => return Some(text),
            TextField::Role => match Role::named(&text) {
                Some(_) => return Some(text),
                None => return self.unknown(expr, "role", &text, &Role::ALL.map(Role::name)),
            },
            TextField::Language if is_language_tag(&text) => return Some(text),
            TextField::Language => "must be a language tag such as \"nl\" or \"pt-BR\"".into(),
            TextField::Zone => match (self.vocabulary.check_timezone)(&text) {
                Ok(()) if !text.is_empty() => return Some(text),
                Ok(()) => "must be a time zone such as \"Europe/Amsterdam\"".into(),
                Err(problem) => problem,
            },
            TextField::Country => match text.as_str() {
                "UK" => "the code of the United Kingdom is \"GB\"".into(),
                _ if text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase()) => return Some(text),
                _ => "must be a code of ISO 3166 in capitals, such as \"NL\"".into(),
            },
            TextField::Attribute(name) => match self.vocabulary.attributes.get(name) {
                Some(AttributeType::Choice(choices)) if !choices.contains(&text) => {
                    let choices: Vec<&str> = choices.iter().map(String::as_str).collect();
                    return self.unknown(expr, &format!("choice of `{name}`:"), &text, &choices);
                }
                _ => return Some(text),
            },
        };
        let error = self.error(expr, format!("no person can have `{text}` here"));
        self.fail(error.label(problem))
    }

    /// A text that is looked up in a set, if the set can have it.
    fn item_of(&mut self, field: &SetField, expr: &IdedExpr, text: String) -> Option<String> {
        let vocabulary = self.vocabulary;
        match field {
            SetField::Tags => match check_tag(&text) {
                Ok(tag) => Some(tag),
                Err(problem) => {
                    let error = self.error(expr, problem.to_string());
                    self.fail(error.label("no person can have it"))
                }
            },
            SetField::Channels | SetField::OpenWindows => {
                if vocabulary.channels.contains(text.as_str()) {
                    return Some(text);
                }
                let known: Vec<&str> = vocabulary.channels.iter().copied().collect();
                self.unknown(expr, "channel", &text, &known)
            }
            // Which groups exist is known only while the daemon runs; an unknown one is an error
            // then.
            SetField::Groups => Some(text),
            SetField::Attribute(name) => match vocabulary.attributes.get(name) {
                Some(AttributeType::Choices(choices)) if !choices.contains(&text) => {
                    let choices: Vec<&str> = choices.iter().map(String::as_str).collect();
                    self.unknown(expr, &format!("choice of `{name}`:"), &text, &choices)
                }
                _ => Some(text),
            },
        }
    }

    fn consent_state(&mut self, expr: &IdedExpr, text: &str) -> Option<ConsentState> {
        use ConsentState::{Granted, Missing, Requested, Withdrawn};
        let all = [Granted, Withdrawn, Requested, Missing];
        match all.into_iter().find(|state| state.name() == text) {
            Some(state) => Some(state),
            None => self.unknown(expr, "state of consent", text, &all.map(ConsentState::name)),
        }
    }
}

/// Two parts that are both true or both false.
fn same(one: Test, other: Test) -> Kind {
    match (one, other) {
        (Test { kind: Kind::Is(name, true), .. }, Test { kind: Kind::Constant(value), .. })
        | (Test { kind: Kind::Constant(value), .. }, Test { kind: Kind::Is(name, true), .. }) => Kind::Is(name, value),
        (test, Test { kind: Kind::Constant(true), .. }) | (Test { kind: Kind::Constant(true), .. }, test) => test.kind,
        (test, Test { kind: Kind::Constant(false), .. }) | (Test { kind: Kind::Constant(false), .. }, test) => {
            Kind::Not(Box::new(test))
        }
        (one, other) => Kind::Same(Box::new(one), Box::new(other)),
    }
}

fn describe(operand: &Operand) -> &'static str {
    match operand {
        Operand::Boolean(_) => "true or false",
        Operand::Text(_) | Operand::Literal(_) => "a text",
        Operand::Ordered(Sort::Number, _) => "a number",
        Operand::Ordered(Sort::Time, _) => "a time",
        Operand::Ordered(Sort::Date, _) => "a date",
        Operand::Duration(_) => "a duration",
        Operand::Set(_) => "a set of texts",
        Operand::ConsentState(_) => "a state of consent",
        Operand::Null => "nothing",
    }
}

/// How a function is used.
fn example(function: &str) -> &'static str {
    match function {
        "segment" => "segment(\"NAME\")",
        "list" => "list(\"NAME\")",
        "duration" => "duration(\"30d\")",
        "timestamp" => "timestamp(\"2026-11-29T18:00:00Z\")",
        "date" => "date(\"2026-11-29\")",
        "has" => "has(attributes.NAME)",
        "startsWith" => "zone.startsWith(\"Europe/\")",
        "endsWith" => "name.endsWith(\"…\")",
        _ => "name.contains(\"…\")",
    }
}

/// Milliseconds of a time in RFC 3339, or of the beginning of a date in a time zone.
fn time(text: &str, timezone: &str) -> Option<i64> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(at.as_millisecond());
    }
    let date: jiff::civil::Date = (text.len() == 10).then(|| text.parse().ok())??;
    Some(date.in_tz(timezone).ok()?.timestamp().as_millisecond())
}

/// Days since 1970.
pub fn day(text: &str) -> Option<i64> {
    let date: jiff::civil::Date = (text.len() == 10).then(|| text.parse().ok())??;
    day_of(date)
}

/// Days since 1970.
pub fn day_of(date: jiff::civil::Date) -> Option<i64> {
    let since = date.since(jiff::civil::date(1970, 1, 1)).ok()?;
    Some(i64::from(since.get_days()))
}

/// `` `a`, `b`, `c` ``, the first of them.
fn listed(names: &[&str]) -> String {
    let mut text = names.iter().take(30).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > 30 {
        text.push_str(", …");
    }
    text
}

/// The most similar name, if at most a third of the letters differ.
fn nearest<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    let nearest = known.iter().map(|known| (strsim::damerau_levenshtein(name, known), *known)).min();
    nearest.filter(|(distance, _)| *distance <= name.len().max(3) / 3).map(|(_, known)| known)
}
