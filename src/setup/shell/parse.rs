//! Parses the commands of a script, with the loops and conditions around them.

use std::rc::Rc;

use super::assignment::{Left, assignment, declares, in_background};
use super::lex::{Document, Part, Token, Tokens, Word};
use super::tree::{After, Assignment, Body, Node, Simple, Step, Value};

/// Maximum depth of nested loops and conditions.
const MAX_DEPTH: usize = 24;

/// The commands before the first line that is not understood, and the number of that line if there is one.
pub(super) fn parse(tokens: Tokens) -> (Vec<Step>, Option<usize>) {
    let open = tokens.open;
    let mut parser = Parser { tokens: tokens.list, here: tokens.here, at: 0, depth: 0, broken: None };
    let steps = parser.list(&[]);
    if parser.at < parser.tokens.len() {
        parser.broken();
    }
    (steps, parser.broken.or(open))
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    here: Vec<Document>,
    at: usize,
    depth: usize,
    broken: Option<usize>,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    fn line(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |(line, _)| *line)
    }

    fn broken(&mut self) {
        let line = self.line();
        self.broken.get_or_insert(line);
        self.at = self.tokens.len();
    }

    fn reserved(&self) -> Option<&str> {
        match self.peek()? {
            Token::Word(word) => word.bare(),
            Token::Operator(operator) => Some(operator),
            Token::Redirect(_) | Token::Here(_) | Token::HereString(_) | Token::Newline => None,
        }
    }

    /// Reads a reserved word. If there is another word, the script is broken.
    fn expect(&mut self, word: &str) {
        self.newlines();
        if self.reserved() == Some(word) { self.at += 1 } else { self.broken() }
    }

    fn newlines(&mut self) {
        while matches!(self.peek(), Some(Token::Newline | Token::Operator(";"))) {
            self.at += 1;
        }
    }

    /// Reads commands up to one of these words. The word itself is not read.
    fn list(&mut self, ends: &[&str]) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut after = After::Always;
        self.depth += 1;
        while self.broken.is_none() && self.depth <= MAX_DEPTH {
            match self.peek() {
                None => break,
                Some(Token::Newline) => self.at += 1,
                Some(Token::Operator(operator)) if *operator != "(" => {
                    if ends.contains(operator) {
                        break;
                    }
                    if *operator == "&" {
                        in_background(&mut steps);
                    }
                    after = match *operator {
                        "&&" => After::And,
                        "||" => After::Or,
                        "|" | "|&" => After::Pipe,
                        ";" | "&" => After::Always,
                        _ => return self.give_up(steps),
                    };
                    self.at += 1;
                }
                Some(_) => {
                    if self.reserved().is_some_and(|word| ends.contains(&word)) {
                        break;
                    }
                    let before = self.at;
                    if let Some(node) = self.command() {
                        steps.push(Step { after, node });
                    }
                    after = After::Always;
                    if self.at == before {
                        self.broken();
                    }
                }
            }
        }
        if self.depth > MAX_DEPTH {
            self.broken();
        }
        self.depth -= 1;
        steps
    }

    fn give_up(&mut self, steps: Vec<Step>) -> Vec<Step> {
        self.broken();
        self.depth -= 1;
        steps
    }

    fn command(&mut self) -> Option<Node> {
        let word = self.reserved().unwrap_or_default().to_owned();
        match word.as_str() {
            "if" => Some(self.if_node()),
            "for" | "select" => self.for_node(),
            "while" | "until" => {
                self.at += 1;
                let mut condition = self.list(&["do"]);
                if word == "until" {
                    // The body runs while the condition fails.
                    condition = vec![Step { after: After::Always, node: Node::Group(condition) }];
                }
                self.expect("do");
                let body = self.list(&["done"]);
                let line = self.line();
                self.expect("done");
                Some(Node::Loop { condition, body, input: self.redirections(line) })
            }
            "case" => self.case_node(),
            "{" => Some(Node::Group(self.body("{", "}"))),
            "(" => Some(Node::Subshell(self.body("(", ")"))),
            "function" => {
                self.at += 1;
                self.function()
            }
            "[[" => Some(Node::Simple(self.comparison())),
            "then" | "else" | "elif" | "fi" | "do" | "done" | "esac" | "}" => {
                self.broken();
                None
            }
            _ if self.is_function() => self.function(),
            _ => Some(Node::Simple(self.simple())),
        }
    }

    /// `[[ … ]]`. Its words are kept only if it is one comparison without patterns.
    fn comparison(&mut self) -> Simple {
        let line = self.line();
        let (mut words, mut is_plain) = (Vec::new(), true);
        while self.peek().is_some() && self.reserved() != Some("]]") {
            match self.peek().cloned() {
                Some(Token::Word(word)) if !word.is_pattern(words.len() > 2) => words.push(word.unsplit()),
                Some(_) | None => is_plain = false,
            }
            self.at += 1;
        }
        self.at += 1;
        if is_plain {
            words.push(Word::plain("]]"));
        } else {
            words.truncate(1);
        }
        Simple { line, words, ..Simple::default() }
    }

    /// Whether `NAME ()` follows, and not the empty list `NAME=()`.
    fn is_function(&self) -> bool {
        if self.reserved().is_some_and(|word| word.ends_with('=')) {
            return false;
        }
        let operator = |ahead: usize| match self.tokens.get(self.at + ahead) {
            Some((_, Token::Operator(operator))) => *operator,
            _ => "",
        };
        operator(1) == "(" && operator(2) == ")"
    }

    fn function(&mut self) -> Option<Node> {
        let name = self.reserved()?.to_owned();
        self.at += 1;
        if self.reserved() == Some("(") {
            self.at += 1;
            self.expect(")");
        }
        self.newlines();
        let body = match self.reserved() {
            Some("{") => self.body("{", "}"),
            Some("(") => {
                let node = Node::Subshell(self.body("(", ")"));
                vec![Step { after: After::Always, node }]
            }
            _ => {
                self.broken();
                return None;
            }
        };
        Some(Node::Function { name, body: Rc::new(Body::new(body)) })
    }

    /// Reads the commands between two reserved words, and the redirections after them.
    fn body(&mut self, open: &str, close: &str) -> Vec<Step> {
        self.expect(open);
        let steps = self.list(&[close]);
        self.expect(close);
        self.redirections(0);
        steps
    }

    /// Reads the redirections after a loop or a group.
    fn redirections(&mut self, line: usize) -> Simple {
        match self.peek() {
            Some(Token::Redirect(_) | Token::Here(_) | Token::HereString(_)) => {
                Simple { line, ..self.simple() }
            }
            _ => Simple { line, ..Simple::default() },
        }
    }

    fn if_node(&mut self) -> Node {
        self.at += 1;
        let condition = self.list(&["then"]);
        self.expect("then");
        let then = self.list(&["elif", "else", "fi"]);
        let otherwise = match self.reserved() {
            Some("elif") => {
                // `elif` is a nested `if` that shares the `fi`.
                return Node::If { condition, then, otherwise: vec![self.elif()] };
            }
            Some("else") => self.body("else", "fi"),
            _ => {
                self.expect("fi");
                Vec::new()
            }
        };
        Node::If { condition, then, otherwise }
    }

    fn elif(&mut self) -> Step {
        self.depth += 1;
        let node = if self.depth > MAX_DEPTH {
            self.broken();
            Node::Group(Vec::new())
        } else {
            self.if_node()
        };
        self.depth -= 1;
        Step { after: After::Always, node }
    }

    fn for_node(&mut self) -> Option<Node> {
        let is_select = self.reserved() == Some("select");
        self.at += 1;
        let arithmetic = if let Some(Token::Word(word)) = self.peek()
            && word.bare().is_none()
        {
            Some(word.clone())
        } else {
            None
        };
        let name = self.reserved().unwrap_or_default().to_owned();
        self.at += 1;
        let mut words = Vec::new();
        let is_arithmetic = arithmetic.is_some();
        words.extend(arithmetic);
        self.newlines();
        if self.reserved() == Some("in") {
            self.at += 1;
            while let Some(Token::Word(word)) = self.peek() {
                words.push(word.clone());
                self.at += 1;
            }
        } else if !is_arithmetic {
            words.push(Word::all_arguments());
        }
        if is_select {
            words = vec![Word { parts: vec![Part::Unknown("select".to_owned())] }];
        }
        self.newlines();
        let body = if self.reserved() == Some("{") { self.body("{", "}") } else { self.body("do", "done") };
        Some(Node::For { name, words, body })
    }

    fn case_node(&mut self) -> Option<Node> {
        self.at += 1;
        let Some(Token::Word(word)) = self.peek().cloned() else {
            self.broken();
            return None;
        };
        self.at += 1;
        self.expect("in");
        let mut arms = Vec::new();
        loop {
            self.newlines();
            if self.broken.is_some() || self.peek().is_none() {
                self.broken();
                return None;
            }
            if self.reserved() == Some("esac") {
                self.at += 1;
                return Some(Node::Case { word, arms });
            }
            let mut patterns = Vec::new();
            while let Some(token) = self.peek().cloned() {
                self.at += 1;
                match token {
                    Token::Operator(")") => break,
                    Token::Word(word) => patterns.push(word.pattern()),
                    Token::Operator(_)
                    | Token::Redirect(_)
                    | Token::Here(_)
                    | Token::HereString(_)
                    | Token::Newline => {}
                }
            }
            let body = self.list(&[";;", ";&", ";;&", "esac"]);
            if let Some(Token::Operator(end @ (";;" | ";&" | ";;&"))) = self.peek() {
                if *end != ";;" {
                    // The next branch may run too. The same is true after a pattern that only a shell can compare.
                    patterns.push("$".to_owned());
                }
                self.at += 1;
            }
            arms.push((patterns, body));
        }
    }

    fn simple(&mut self) -> Simple {
        let mut simple = Simple { line: self.line(), ..Simple::default() };
        loop {
            match self.peek().cloned() {
                Some(Token::Word(word)) => {
                    self.at += 1;
                    match assignment(&word) {
                        Some(left) if simple.words.is_empty() || declares(&simple) => {
                            let Left { name, appends, is_element, rest } = left;
                            let value = if is_element { Value::Element } else { self.value(rest) };
                            simple.assignments.push(Assignment { name, appends, value });
                        }
                        _ => simple.words.push(word),
                    }
                }
                Some(Token::Redirect(sign)) => {
                    self.at += 1;
                    if let Some(Token::Word(word)) = self.peek().cloned() {
                        self.at += 1;
                        if sign == "<" {
                            simple.input = Some(word);
                        }
                    }
                }
                Some(Token::Here(number)) => {
                    self.at += 1;
                    simple.here = self.here.get(number).cloned();
                }
                Some(Token::HereString(word)) => {
                    self.at += 1;
                    simple.string = Some(word);
                }
                Some(Token::Operator(_) | Token::Newline) | None => return simple,
            }
        }
    }

    /// Reads the value of an assignment: the rest of the word, or a list in brackets.
    fn value(&mut self, rest: Word) -> Value {
        if !rest.parts.is_empty() || self.reserved() != Some("(") {
            return Value::One(rest);
        }
        self.at += 1;
        let mut words = Vec::new();
        loop {
            match self.peek().cloned() {
                Some(Token::Word(word)) => words.push(word),
                Some(Token::Newline) => {}
                Some(Token::Operator(_) | Token::Redirect(_) | Token::Here(_) | Token::HereString(_))
                | None => break,
            }
            self.at += 1;
        }
        self.expect(")");
        Value::List(words)
    }
}
