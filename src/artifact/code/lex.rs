//! JavaScript cut into words, strings and marks, so that what stands in a comment, a string, a template or a
//! regular expression is never taken for code. Knows no grammar; text that isn't JavaScript gives nonsense, no error.

/// One piece of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind<'a>,
    /// Counted from 1.
    pub(super) line: usize,
}

/// What a piece is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// A name or a keyword.
    Word(&'a str),
    /// A string, or a template in which nothing is filled in.
    Text(&'a str),
    /// Any other sign, byte by byte.
    Mark(u8),
    /// A number, a regular expression, or a template with something filled in: its code follows, in braces.
    Value,
}

/// Keywords after which a slash begins a regular expression and a brace an object.
const EXPECTING: [&str; 15] = [
    "return",
    "typeof",
    "instanceof",
    "in",
    "of",
    "new",
    "delete",
    "void",
    "throw",
    "case",
    "do",
    "else",
    "yield",
    "await",
    "default",
];

/// What a brace closes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Brace {
    Block,
    Object,
    Template,
}

/// Cuts the whole text.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let start = if text.starts_with("#!") { text.find('\n').unwrap_or(text.len()) } else { 0 };
    let mut lexer = Lexer {
        text,
        at: start,
        line: 1,
        tokens: Vec::new(),
        value: false,
        braces: Vec::new(),
        conditions: Vec::new(),
    };
    while lexer.step() {}
    lexer.tokens
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    tokens: Vec<Token<'a>>,
    /// Whether a value has just ended, so that a slash divides.
    value: bool,
    braces: Vec<Brace>,
    /// For each open parenthesis: whether it holds the condition of an `if` or a loop.
    conditions: Vec<bool>,
}

impl<'a> Lexer<'a> {
    fn peek(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.at + ahead).copied().unwrap_or(0)
    }

    fn push(&mut self, kind: Kind<'a>, value: bool) {
        self.tokens.push(Token { kind, line: self.line });
        self.value = value;
    }

    fn last(&self) -> Option<&Kind<'a>> {
        self.tokens.last().map(|token| &token.kind)
    }

    /// Whether the next word is the name of a property.
    fn after_dot(&self) -> bool {
        let before = self.tokens.len().checked_sub(2).and_then(|at| self.tokens.get(at)).map(|token| &token.kind);
        // `...name` spreads a value.
        self.last() == Some(&Kind::Mark(b'.')) && before != Some(&Kind::Mark(b'.'))
    }

    fn step(&mut self) -> bool {
        let Some(&byte) = self.text.as_bytes().get(self.at) else { return false };
        match byte {
            b'\n' => {
                self.line += 1;
                self.at += 1;
            }
            b' ' | b'\t' | b'\r' | 0x0b | 0x0c => self.at += 1,
            b'/' if self.peek(1) == b'/' => self.skip_until(b"\n"),
            b'/' if self.peek(1) == b'*' => {
                self.at += 2;
                self.skip_until(b"*/");
                self.at = (self.at + 2).min(self.text.len());
            }
            b'/' if !self.value => self.regex(),
            b'"' | b'\'' => self.string(byte),
            b'`' => {
                self.at += 1;
                self.template(true);
            }
            b'0'..=b'9' => {
                self.take(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.');
                self.push(Kind::Value, true);
            }
            _ if is_name(byte) => self.word(),
            _ => self.mark(byte),
        }
        true
    }

    fn take(&mut self, more: impl Fn(u8) -> bool) -> &'a str {
        let begin = self.at;
        while self.at < self.text.len() && more(self.peek(0)) {
            self.at += 1;
        }
        &self.text[begin..self.at]
    }

    fn skip_until(&mut self, end: &[u8]) {
        while self.at < self.text.len() && !self.text.as_bytes()[self.at..].starts_with(end) {
            self.line += usize::from(self.peek(0) == b'\n');
            self.at += 1;
        }
    }

    fn word(&mut self) {
        let property = self.after_dot();
        let word = self.take(is_name);
        self.push(Kind::Word(word), property || !EXPECTING.contains(&word));
    }

    fn string(&mut self, quote: u8) {
        self.at += 1;
        let begin = self.at;
        let line = self.line;
        while self.at < self.text.len() && self.peek(0) != quote && self.peek(0) != b'\n' {
            if self.peek(0) == b'\\' {
                self.at += 1;
                self.line += usize::from(self.peek(0) == b'\n');
            }
            self.at += 1;
        }
        self.at = self.at.min(self.text.len());
        // An escape may have ended inside a character; such a string names no module.
        self.tokens.push(Token { kind: Kind::Text(self.text.get(begin..self.at).unwrap_or("")), line });
        self.value = true;
        self.at = (self.at + 1).min(self.text.len());
    }

    /// From the beginning of a template, or from where something filled in has ended, to its end or the next such.
    fn template(&mut self, first: bool) {
        let begin = self.at;
        let line = self.line;
        loop {
            match self.peek(0) {
                _ if self.at >= self.text.len() => break,
                b'`' => {
                    if first {
                        let text = self.text.get(begin..self.at).unwrap_or("");
                        self.tokens.push(Token { kind: Kind::Text(text), line });
                    }
                    self.value = true;
                    self.at += 1;
                    return;
                }
                b'$' if self.peek(1) == b'{' => {
                    if first {
                        self.push(Kind::Value, false);
                    }
                    self.push(Kind::Mark(b'{'), false);
                    self.braces.push(Brace::Template);
                    self.at += 2;
                    return;
                }
                b'\\' => {
                    self.line += usize::from(self.peek(1) == b'\n');
                    self.at += 2;
                }
                byte => {
                    self.line += usize::from(byte == b'\n');
                    self.at += 1;
                }
            }
        }
        self.at = self.text.len();
    }

    fn regex(&mut self) {
        self.at += 1;
        let mut class = false;
        while self.at < self.text.len() && self.peek(0) != b'\n' {
            match self.peek(0) {
                b'\\' => self.at += 1,
                b'[' => class = true,
                b']' => class = false,
                b'/' if !class => break,
                _ => {}
            }
            self.at += 1;
        }
        self.at = (self.at + 1).min(self.text.len());
        self.take(is_name);
        self.push(Kind::Value, true);
    }

    fn mark(&mut self, byte: u8) {
        let value = match byte {
            b'(' => {
                let condition = matches!(self.last(), Some(Kind::Word("if" | "while" | "for" | "with")));
                self.conditions.push(condition);
                false
            }
            b')' => !self.conditions.pop().unwrap_or(false),
            b']' => true,
            b'{' => {
                self.braces.push(self.brace());
                false
            }
            b'}' => match self.braces.pop() {
                Some(Brace::Template) => {
                    self.push(Kind::Mark(b'}'), false);
                    self.at += 1;
                    return self.template(false);
                }
                kind => kind == Some(Brace::Object),
            },
            // `i++ / 2`: what was a value is still one.
            b'+' | b'-' if self.last() == Some(&Kind::Mark(byte)) => {
                let before = self.tokens.len().checked_sub(2).map(|at| &self.tokens[at].kind);
                matches!(before, Some(Kind::Word(_) | Kind::Mark(b')' | b']')))
            }
            _ => false,
        };
        self.push(Kind::Mark(byte), value);
        self.at += 1;
    }

    /// A brace where a value is expected begins an object.
    fn brace(&self) -> Brace {
        match self.last() {
            Some(Kind::Mark(b'>')) => {
                let arrow = self.tokens.len().checked_sub(2).map(|at| &self.tokens[at].kind) == Some(&Kind::Mark(b'='));
                if arrow { Brace::Block } else { Brace::Object }
            }
            Some(Kind::Mark(b')' | b';' | b'{' | b'}')) | None => Brace::Block,
            Some(Kind::Mark(_)) => Brace::Object,
            Some(Kind::Word("do" | "else")) => Brace::Block,
            Some(Kind::Word(word)) if EXPECTING.contains(word) => Brace::Object,
            Some(Kind::Word(_) | Kind::Text(_) | Kind::Value) => Brace::Block,
        }
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'#') || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        let word = |token: &Token<'_>| matches!(token.kind, Kind::Word(_));
        tokens(text)
            .into_iter()
            .filter(word)
            .map(|token| match token.kind {
                Kind::Word(word) => word,
                _ => unreachable!("filtered"),
            })
            .collect()
    }

    #[test]
    fn only_code_is_code() {
        let text = "#!/usr/bin/env no\na // no 'no\n/* no\n */ b 'no \\' no' \"no\" `no ${c + `no ${d}` + {}} no` e /no[/']no/g f";
        // The last slash divides `e`, which is a value; then `no` is code.
        assert_eq!(words(&text.replace("e /no[/']no/g f", "e = /no[/']no/g; f")), ["a", "b", "c", "d", "e", "f"]);
    }

    #[test]
    fn a_slash_divides_a_value_and_else_begins_a_regular_expression() {
        let divided = ["a / b / c", "(a) / b / c", "a[0] / b / c", "i++ / b / c", "x = {} / b / c", "a.return / b / c"];
        for text in divided {
            assert!(words(text).ends_with(&["b", "c"]), "{text}: {:?}", words(text));
        }
        let regular =
            ["if (a) /'/.test(b)", "a => { } /'/.test(b)", "return /'/.test(b)", "f(/'/.test(b))", "a = !/'/.test(b)"];
        for text in regular {
            assert!(words(text).ends_with(&["test", "b"]), "{text}: {:?}", words(text));
        }
    }

    #[test]
    fn lines_are_counted_through_strings_templates_and_comments() {
        let found = tokens("/*\n*/`\n${a\n}\n`\n'x\\\ny'\nb");
        let b = found.iter().find(|token| token.kind == Kind::Word("b"));
        assert_eq!(b.map(|token| token.line), Some(8));
    }

    #[test]
    fn text_that_ends_in_the_middle_or_is_no_code_is_survived() {
        for text in ["'", "`${", "/*", "/[", "a\\", "'\\", "`\\", "}}))", "é'\\é", "\u{feff}a", "// é"] {
            tokens(text);
        }
    }
}
