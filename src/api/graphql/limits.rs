//! How much one request may ask for.
//!
//! What can be told from the text is refused before the schema sees it, for the library's own walks follow every
//! fragment each time it is spread: thirty small fragments, each spreading the next one twice, would keep it busy for
//! hours. Here every fragment is measured once. What depends on the schema (complexity, with `first` and `last` as
//! multipliers) is left to the library, by [`apply`].

use std::collections::HashMap;

use async_graphql::parser::types::{
    Directive, ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet,
};
use async_graphql::{Pos, Positioned, Request, SchemaBuilder, ServerError};

use crate::api::graphql::answer::{code, error};

/// Bytes in the body of an HTTP request.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// Bytes in one message that a socket receives.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Lexical tokens in a document.
pub const TOKENS_MAX: usize = 4_000;
/// Fields within fields.
pub const DEPTH_MAX: usize = 12;
/// Selection sets within selection sets, fragments included.
pub const RECURSION_MAX: usize = 32;
/// Root fields and aliases of a document, together.
pub const ROOTS_AND_ALIASES_MAX: usize = 100;
/// Fields once every fragment is written out.
pub const SELECTIONS_MAX: usize = 20_000;
/// What a document may cost by the schema's own reckoning.
pub const COMPLEXITY_MAX: usize = 20_000;
/// Directives at one place, and in a whole document.
pub const DIRECTIVES_MAX: usize = 8;
pub const DIRECTIVES_TOTAL_MAX: usize = 64;
/// Lists of introspection within each other: a type's fields, their types' fields and so on grow as a power.
pub const INTROSPECTION_LISTS_MAX: usize = 2;

/// Gives a schema the limits that only it can check, and stops it from naming the fields that a typo may have meant.
#[must_use]
pub fn apply<Q, M, S>(schema: SchemaBuilder<Q, M, S>) -> SchemaBuilder<Q, M, S> {
    schema.limit_complexity(COMPLEXITY_MAX).limit_recursive_depth(RECURSION_MAX).disable_suggestions()
}

/// Parses the request's document and measures it, and says which kind of operation it asks for.
///
/// # Errors
/// A document that does not parse, or one beyond a limit; the error says which.
pub(super) fn admit(request: &mut Request) -> Result<OperationType, ServerError> {
    if tokens(&request.query) > TOKENS_MAX {
        return Err(too_large(format!("the document has more than {TOKENS_MAX} tokens"), None));
    }
    let name = request.operation_name.clone();
    let document = request.parsed_query().map_err(|mut refused| {
        refused.extensions = error(code::PARSE_FAILED, "").extensions;
        refused
    })?;
    measure(document)?;
    let mut operations = document.operations.iter();
    let wanted = match name {
        Some(wanted) => operations.find(|(name, _)| name.is_some_and(|name| *name == *wanted)),
        None => operations.next(),
    };
    // An operation that is not there is the library's to refuse, as a query.
    Ok(wanted.map_or(OperationType::Query, |(_, operation)| operation.node.ty))
}

fn measure(document: &ExecutableDocument) -> Result<(), ServerError> {
    let mut measure = Measure { document, fragments: HashMap::new(), aliases: 0, directives: 0 };
    let mut whole = Size::default();
    for (_, operation) in document.operations.iter() {
        whole = whole.beside(measure.operation(operation)?);
    }
    let limits = [
        (whole.depth, DEPTH_MAX, "fields within fields"),
        (whole.roots + measure.aliases, ROOTS_AND_ALIASES_MAX, "root fields and aliases"),
        (whole.selections, SELECTIONS_MAX, "fields, fragments written out"),
        (measure.directives, DIRECTIVES_TOTAL_MAX, "directives"),
    ];
    match limits.into_iter().find(|(size, limit, _)| size > limit) {
        Some((_, limit, what)) => Err(too_large(format!("the document has more than {limit} {what}"), None)),
        None => Ok(()),
    }
}

/// A walk over a document that visits each fragment once, however often it is spread.
struct Measure<'a> {
    document: &'a ExecutableDocument,
    /// `None` while a fragment is being measured: to meet it again then is a cycle.
    fragments: HashMap<&'a str, Option<Size>>,
    aliases: usize,
    directives: usize,
}

/// The size of a selection set with its fragments written out.
#[derive(Clone, Copy, Default)]
struct Size {
    roots: usize,
    selections: usize,
    depth: usize,
    /// How many of introspection's lists lie within each other.
    lists: usize,
}

impl Size {
    fn beside(self, other: Self) -> Self {
        Self {
            roots: self.roots.saturating_add(other.roots),
            selections: self.selections.saturating_add(other.selections),
            depth: self.depth.max(other.depth),
            lists: self.lists.max(other.lists),
        }
    }
}

impl<'a> Measure<'a> {
    fn operation(&mut self, operation: &'a Positioned<OperationDefinition>) -> Result<Size, ServerError> {
        self.directives(&operation.node.directives)?;
        for variable in &operation.node.variable_definitions {
            self.directives(&variable.node.directives)?;
        }
        let size = self.set(&operation.node.selection_set.node)?;
        if operation.node.ty == OperationType::Subscription && size.roots != 1 {
            let mut refused = error(code::VALIDATION_FAILED, "a subscription has exactly one root field");
            refused.locations.push(operation.pos);
            return Err(refused);
        }
        Ok(size)
    }

    fn set(&mut self, set: &'a SelectionSet) -> Result<Size, ServerError> {
        let mut size = Size::default();
        for selection in &set.items {
            self.directives(selection.node.directives())?;
            size = size.beside(match &selection.node {
                Selection::Field(field) => self.field(field)?,
                Selection::InlineFragment(inline) => self.set(&inline.node.selection_set.node)?,
                Selection::FragmentSpread(spread) => self.fragment(&spread.node.fragment_name.node, selection.pos)?,
            });
        }
        Ok(size)
    }

    fn field(&mut self, field: &'a Positioned<Field>) -> Result<Size, ServerError> {
        self.aliases += usize::from(field.node.alias.is_some());
        let inner = self.set(&field.node.selection_set.node)?;
        let selections = inner.selections.saturating_add(1);
        match &*field.node.name.node {
            "__schema" | "__type" if inner.lists > INTROSPECTION_LISTS_MAX => {
                Err(too_large("introspection goes round in circles", Some(field.pos)))
            }
            // Types wrap types as deep as they like: it is the lists that multiply, and they are counted.
            "__schema" | "__type" => Ok(Size { roots: 1, selections, depth: 1, lists: 0 }),
            name => {
                let list = matches!(name, "fields" | "inputFields" | "interfaces" | "possibleTypes");
                Ok(Size { roots: 1, selections, depth: inner.depth + 1, lists: inner.lists + usize::from(list) })
            }
        }
    }

    fn fragment(&mut self, name: &'a str, pos: Pos) -> Result<Size, ServerError> {
        match self.fragments.get(name) {
            Some(Some(size)) => return Ok(*size),
            Some(None) => {
                let mut refused = error(code::VALIDATION_FAILED, format!("fragment `{name}` spreads itself"));
                refused.locations.push(pos);
                return Err(refused);
            }
            None => {}
        }
        // A fragment that is not there is the library's to refuse.
        let Some(fragment) = self.document.fragments.get(name) else { return Ok(Size::default()) };
        self.fragments.insert(name, None);
        self.directives(&fragment.node.directives)?;
        let size = self.set(&fragment.node.selection_set.node)?;
        self.fragments.insert(name, Some(size));
        Ok(size)
    }

    fn directives(&mut self, directives: &[Positioned<Directive>]) -> Result<(), ServerError> {
        self.directives += directives.len();
        match directives.get(DIRECTIVES_MAX) {
            Some(beyond) => {
                Err(too_large(format!("more than {DIRECTIVES_MAX} directives at one place"), Some(beyond.pos)))
            }
            None => Ok(()),
        }
    }
}

fn too_large(message: impl Into<String>, pos: Option<Pos>) -> ServerError {
    let mut refused = error(code::TOO_LARGE, message);
    refused.locations.extend(pos);
    refused
}

/// How many lexical tokens a document has; at least as many as the parser will find, whatever the text.
fn tokens(document: &str) -> usize {
    let bytes = document.as_bytes();
    let mut at = 0;
    let mut count = 0;
    while let Some(byte) = bytes.get(at) {
        let rest = &bytes[at..];
        let length = match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b',' => {
                at += 1;
                continue;
            }
            b'#' => {
                at += length_while(rest, |byte| byte != b'\n' && byte != b'\r');
                continue;
            }
            b'"' => string_length(rest),
            b'-' | b'0'..=b'9' => length_while(rest, |byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)),
            _ => length_while(rest, |byte| byte.is_ascii_alphanumeric() || byte == b'_').max(1),
        };
        at += length;
        count += 1;
    }
    count
}

fn length_while(bytes: &[u8], wanted: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| !wanted(*byte)).unwrap_or(bytes.len())
}

/// The length of the string that `bytes` begins with, in one quote or in three, with its quotes.
fn string_length(bytes: &[u8]) -> usize {
    let quote: &[u8] = if bytes.starts_with(b"\"\"\"") { b"\"\"\"" } else { b"\"" };
    let mut at = quote.len();
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            _ if bytes[at..].starts_with(quote) => return at + quote.len(),
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_counted_as_the_grammar_has_them() {
        assert_eq!(tokens(""), 0);
        assert_eq!(tokens("query Q($id: ID!) { a(id: $id, n: -1.5e+3) }"), 21);
        assert_eq!(tokens("{ a # } } }\n }"), 3);
        assert_eq!(tokens(r#"{ a(s: "} \" }", t: """ } " \""" } """) }"#), 11);
        assert_eq!(tokens("\"never closed } } }"), 1);
        assert_eq!(tokens("{{{ ü"), 5, "what is no token counts by the byte");
    }

    #[test]
    fn kinds_are_told_by_name() {
        let kind =
            |query: &str, name: &str| admit(&mut Request::new(query).operation_name(name)).expect("within the limits");
        let both = "query A { a } subscription B { b }";
        assert_eq!((kind(both, "A"), kind(both, "B")), (OperationType::Query, OperationType::Subscription));
        assert_eq!(admit(&mut Request::new("mutation { a }")).expect("small"), OperationType::Mutation);
    }

    #[test]
    fn what_is_beyond_a_limit_is_refused() {
        let nested = |depth: usize| format!("{}{}", "{ a ".repeat(depth), "}".repeat(depth));
        let aliases = |count: usize| {
            let aliases: Vec<_> = (0..count).map(|n| format!("a{n}: a")).collect();
            format!("{{ r {{ {} }} }}", aliases.join(" "))
        };
        assert_eq!(refusal(&nested(12)), None);
        assert_eq!(refusal(&nested(13)).as_deref(), Some(code::TOO_LARGE));
        assert_eq!(refusal(&aliases(99)), None);
        assert_eq!(refusal(&aliases(100)).as_deref(), Some(code::TOO_LARGE));
        assert_eq!(refusal(&format!("{{ {} }}", "a ".repeat(101))).as_deref(), Some(code::TOO_LARGE));
        assert_eq!(refusal(&format!("{{ a {} }}", "@x ".repeat(9))).as_deref(), Some(code::TOO_LARGE));
        assert_eq!(refusal(&format!("{{ r {{ {} }} }}", "a @x ".repeat(65))).as_deref(), Some(code::TOO_LARGE));
        assert_eq!(refusal(&format!("{{ r {{ {} }} }}", "a ".repeat(4_000))).as_deref(), Some(code::TOO_LARGE));
        assert_eq!(refusal("subscription { a b }").as_deref(), Some(code::VALIDATION_FAILED));
        assert_eq!(refusal("{ ...F } fragment F on Query { ...F ...F }").as_deref(), Some(code::VALIDATION_FAILED));
        assert_eq!(refusal("{").as_deref(), Some(code::PARSE_FAILED));
    }

    #[test]
    fn fragments_that_double_are_refused_at_once() {
        let fragment = |n: usize| format!("fragment F{n} on Query {{ r {{ a }} ...F{0} ...F{0} }} ", n + 1);
        let bomb: String = (0..60).map(fragment).collect();
        let bomb = format!("{{ ...F0 }} {bomb} fragment F60 on Query {{ a }}");
        assert_eq!(refusal(&bomb).as_deref(), Some(code::TOO_LARGE));
    }

    #[test]
    fn introspection_passes_unless_it_goes_round() {
        assert_eq!(refusal(&of_types("ofType { name ".repeat(9).as_str(), 9)), None);
        let around = "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }";
        assert_eq!(refusal(around).as_deref(), Some(code::TOO_LARGE));
    }

    fn of_types(inner: &str, depth: usize) -> String {
        format!("{{ __schema {{ types {{ fields {{ args {{ type {{ {inner} {} }} }} }} }} }} }}", "}".repeat(depth))
    }

    fn refusal(query: &str) -> Option<String> {
        let refused = admit(&mut Request::new(query)).err()?;
        refused.extensions?.get("code").map(|code| code.to_string().trim_matches('"').to_owned())
    }
}
