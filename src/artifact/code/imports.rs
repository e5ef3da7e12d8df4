//! What a file of JavaScript imports: `import`, `export ... from`, `import(...)` and `require(...)` with a plain
//! string, in either module system. Names that are put together at run time are not seen.

use super::lex::{Kind, Token, tokens};

/// How certain it is that a file fails without what it imports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// The code expects that it may be absent.
    Optional,
    /// When the code gets there.
    Late,
    /// As soon as the file is loaded.
    Always,
}

/// One import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Import {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) need: Need,
}

/// All imports of one file, in its order.
pub(super) fn imports(text: &str) -> Vec<Import> {
    if !text.contains("import") && !text.contains("require") && !text.contains("export") {
        return Vec::new();
    }
    let tokens = tokens(text);
    let mut finder = Finder {
        own_require: has_own_require(&tokens),
        tokens,
        blocks: Vec::new(),
        parens: 0,
        guarded: false,
        found: Vec::new(),
    };
    for at in 0..finder.tokens.len() {
        finder.look(at);
    }
    finder.found
}

/// Whether some function takes a `require` of its own, as in bundles that hold modules as functions.
fn has_own_require(tokens: &[Token<'_>]) -> bool {
    tokens.windows(3).any(|three| {
        let around = [&three[0].kind, &three[2].kind];
        three[1].kind == Kind::Word("require")
            && matches!(around[0], Kind::Mark(b'(' | b','))
            && matches!(around[1], Kind::Mark(b')' | b','))
    })
}

/// What a pair of braces holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    /// The fields of an object, which come to be where it stands.
    Object,
    Try,
    /// Statements, of a function as a rule.
    Other,
}

struct Finder<'a> {
    tokens: Vec<Token<'a>>,
    own_require: bool,
    /// What the open braces hold.
    blocks: Vec<Block>,
    parens: usize,
    /// Whether the statement at the top has a condition or a function before this place.
    guarded: bool,
    found: Vec<Import>,
}

impl Finder<'_> {
    fn kind(&self, at: usize) -> Option<&Kind<'_>> {
        self.tokens.get(at).map(|token| &token.kind)
    }

    fn before(&self, at: usize, back: usize) -> Option<&Kind<'_>> {
        at.checked_sub(back).and_then(|at| self.kind(at))
    }

    fn is(&self, at: usize, mark: u8) -> bool {
        self.kind(at) == Some(&Kind::Mark(mark))
    }

    fn look(&mut self, at: usize) {
        match self.tokens[at].kind {
            Kind::Mark(b'{') => self.blocks.push(match self.before(at, 1) {
                Some(Kind::Word("try")) => Block::Try,
                Some(Kind::Mark(b'=' | b'(' | b',' | b':' | b'[')) => Block::Object,
                _ => Block::Other,
            }),
            Kind::Mark(b'}') => {
                self.blocks.pop();
                self.guarded &= !(self.blocks.is_empty() && self.parens == 0);
            }
            Kind::Mark(b'(') => self.parens += 1,
            Kind::Mark(b')') => self.parens = self.parens.saturating_sub(1),
            Kind::Mark(b';') if self.blocks.is_empty() => self.guarded = false,
            Kind::Mark(b'?') => self.guarded = true,
            Kind::Mark(b'>') => self.guarded |= self.before(at, 1) == Some(&Kind::Mark(b'=')),
            Kind::Mark(mark @ (b'&' | b'|')) => self.guarded |= self.before(at, 1) == Some(&Kind::Mark(mark)),
            Kind::Word("if" | "else" | "for" | "while" | "switch" | "function" | "class") => self.guarded = true,
            Kind::Word("const" | "let" | "var") if self.blocks.is_empty() && self.parens == 0 => self.guarded = false,
            Kind::Word("import") if !self.is_property(at) => self.import(at),
            Kind::Word("export") if self.at_top() => self.export(at),
            Kind::Word("require") if !self.is_property(at) && self.is(at + 1, b'(') => self.require(at),
            _ => {}
        }
    }

    fn at_top(&self) -> bool {
        self.blocks.is_empty() && self.parens == 0
    }

    /// Whether the word is a name that is asked of something, or declared. (`...name` is neither.)
    fn is_property(&self, at: usize) -> bool {
        let dots = [self.before(at, 2), self.before(at, 1)].map(|kind| kind == Some(&Kind::Mark(b'.')));
        dots == [false, true] || self.before(at, 1) == Some(&Kind::Word("function"))
    }

    fn add(&mut self, at: usize, need: Need) {
        if let Kind::Text(name) = self.tokens[at].kind {
            self.found.push(Import { name: name.to_owned(), line: self.tokens[at].line, need });
        }
    }

    /// The string that is all, or the first, of what the parenthesis at `at` holds.
    fn argument(&self, at: usize) -> bool {
        matches!(self.kind(at + 1), Some(Kind::Text(_))) && (self.is(at + 2, b')') || self.is(at + 2, b','))
    }

    /// `import(...)` and `require(...)` of something that may be absent: in a `try`, or with a `catch` behind it.
    fn is_caught(&self, open: usize) -> bool {
        let caught = [Some(&Kind::Mark(b'.')), Some(&Kind::Word("catch"))];
        self.blocks.contains(&Block::Try) || [self.kind(open + 3), self.kind(open + 4)] == caught
    }

    fn import(&mut self, at: usize) {
        match self.kind(at + 1) {
            Some(Kind::Mark(b'(')) if self.argument(at + 1) => {
                self.add(at + 2, if self.is_caught(at + 1) { Need::Optional } else { Need::Late });
            }
            Some(Kind::Text(_)) if self.at_top() => self.add(at + 1, Need::Always),
            Some(Kind::Word(_) | Kind::Mark(b'{' | b'*')) if self.at_top() => self.from(at + 1),
            _ => {}
        }
    }

    fn export(&mut self, at: usize) {
        if self.is(at + 1, b'*') || self.is(at + 1, b'{') {
            self.from(at + 1);
        }
    }

    /// The module behind the `from` of an import or export whose list of names begins at `at`.
    fn from(&mut self, mut at: usize) {
        loop {
            match (self.kind(at), self.kind(at + 1)) {
                (Some(Kind::Word("from")), Some(Kind::Text(_))) => return self.add(at + 1, Need::Always),
                (Some(Kind::Text(_) | Kind::Word(_) | Kind::Mark(b'{' | b',' | b'*')), _) => at += 1,
                // The list of an export may end without a `from`.
                (Some(Kind::Mark(b'}')), Some(Kind::Word("from")) | Some(Kind::Mark(b','))) => at += 1,
                _ => return,
            }
        }
    }

    fn require(&mut self, at: usize) {
        if !self.argument(at + 1) {
            return;
        }
        let need = match () {
            () if self.is_caught(at + 1) => Need::Optional,
            () if self.blocks.iter().all(|block| *block == Block::Object) && !self.guarded => Need::Always,
            () if self.own_require => return,
            () => Need::Late,
        };
        self.add(at + 2, need);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name` for always, `name?` for late, `name??` for optional.
    fn found(text: &str) -> Vec<String> {
        let mark = |need| match need {
            Need::Always => "",
            Need::Late => "?",
            Need::Optional => "??",
        };
        imports(text).into_iter().map(|import| format!("{}{}", import.name, mark(import.need))).collect()
    }

    #[test]
    fn every_form_of_a_static_import() {
        let text = r#"
            import "a"; import b from "b"; import * as c from 'c'
            import d, { x as y, default as z } from "d";
            import{e}from"e";import json from "./f.json" with { type: "json" };
            export * from "g"; export * as h from "h"; export { x, y as default } from "i";
            export const from = "no"; export { from }; export default "no"; import.meta.url;
            export {q}
            "no";
        "#;
        assert_eq!(found(text), ["a", "b", "c", "d", "e", "./f.json", "g", "h", "i"]);
    }

    #[test]
    fn what_is_required_at_the_top_is_needed_at_once() {
        let text = r#"
            "use strict"; const a = require("a"), b = __toESM(require('b'), 1);
            require("c").config()
            const d = require("d").get, {e} = require(`e`)
            module.exports = { f: require.resolve("no"), ...require("f") };
            module.exports = { g: { h: require("g") }, get i() { return require("h"); }, j: () => require("i") };
            obj.require("no"); require(name); require("no" + x); function require(no) {}
        "#;
        assert_eq!(found(text), ["a", "b", "c", "d", "e", "f", "g", "h?", "i?"]);
    }

    #[test]
    fn what_may_never_be_reached_or_may_be_absent_is_told_apart() {
        let text = r#"
            const lazy = () => require("a");
            const b = dev ? require("b") : null;
            if (dev) require("c");
            const d = require("d");
            function f() { return require("e"); }
            try { require("f"); } catch {} try { if (x) { require("g") } } catch {}
            const g = await import("h"); import("i").catch(() => {}); import(`j`);
            import("./" + x); import(`./${x}.js`);
            const k = require("k");
        "#;
        assert_eq!(found(text), ["a?", "b?", "c?", "d", "e?", "f??", "g??", "h?", "i??", "j?", "k"]);
    }

    #[test]
    fn a_bundle_with_a_require_of_its_own_is_not_judged_by_it() {
        assert_eq!(found(r#"({1:[function(require,module){require("./no")},{}]})"#), [""; 0]);
        assert_eq!(
            found(r#"var x = cjs({ "a.js"(exports, module) { require("lazy") } }); import y from "y""#),
            ["lazy?", "y"]
        );
    }

    #[test]
    fn lines_are_those_of_the_names() {
        let lines: Vec<usize> =
            imports("import {\n  a,\n} from\n  'a';\n\nrequire('b')").iter().map(|i| i.line).collect();
        assert_eq!(lines, [4, 6]);
    }
}
