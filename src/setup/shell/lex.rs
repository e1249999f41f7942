//! Splits a shell script into words and operators, by the rules of POSIX and the common rules of bash.
//! It expands nothing and runs nothing.

use super::word::is_in_name;

/// A word as its parts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Word {
    pub(super) parts: Vec<Part>,
}

/// A piece of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Text(String, Quoted),
    Variable(Reference),
    /// The command in `$(…)`.
    Output(String),
    /// Text that is known only when the script runs.
    Unknown(String),
}

/// `$NAME`, `${NAME:-DEFAULT}`, or `${NAME:=DEFAULT}`, which also assigns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) name: String,
    pub(super) default: Option<String>,
    pub(super) assigns: bool,
    pub(super) all: All,
    pub(super) quoted: Quoted,
}

/// Whether a reference stands for all elements of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum All {
    No,
    /// `${NAME[@]}`
    Each,
    /// `${NAME[*]}`
    Joined,
}

impl Reference {
    /// `$NAME`
    pub(super) fn to(name: String, quoted: Quoted) -> Self {
        Self { name, default: None, assigns: false, all: All::No, quoted }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quoted {
    Yes,
    No,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(Word),
    /// `;`, `&&`, `|` and similar operators.
    Operator(&'static str),
    /// `<`, `>` and similar operators: the next word is not an argument.
    Redirect(&'static str),
    /// The number of a here-document.
    Here(usize),
    /// `<<< WORD`
    HereString(Word),
    Newline,
}

/// A here-document. Variables in its text are replaced unless its end word is quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Document {
    pub(super) text: String,
    pub(super) quoted: Quoted,
}

/// A script as tokens, each with its line, counted from 1.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    pub(super) list: Vec<(usize, Token)>,
    pub(super) here: Vec<Document>,
    /// The line of a quote or bracket that is not closed.
    pub(super) open: Option<usize>,
}

pub(super) fn tokens(text: &str) -> Tokens {
    let mut lexer = Lexer { chars: text.chars().collect(), at: 0, line: 1, pending: Vec::new(), open: None };
    let mut tokens = Tokens::default();
    while let Some((line, token)) = lexer.next(&mut tokens.here) {
        tokens.list.push((line, token));
    }
    tokens.open = lexer.open;
    tokens
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    /// Here-documents whose text starts on the next line: number, end word, whether tabs are removed.
    pending: Vec<(usize, String, bool)>,
    open: Option<usize>,
}

/// Operators. Longer ones come first.
const OPERATORS: [&str; 10] = [";;&", ";;", ";&", "&&", "||", "|&", ";", "&", "|", "("];
const REDIRECTS: [&str; 9] = ["&>>", "&>", "<&", ">>", ">&", ">|", "<>", "<", ">"];

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn take(&mut self) -> Option<char> {
        let c = self.peek(0)?;
        self.at += 1;
        if c == '\n' {
            self.line += 1;
        }
        Some(c)
    }

    fn starts_with(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(ahead, c)| self.peek(ahead) == Some(c))
    }

    fn next(&mut self, here: &mut Vec<Document>) -> Option<(usize, Token)> {
        loop {
            match self.peek(0)? {
                ' ' | '\t' | '\r' => self.at += 1,
                '\\' if self.peek(1) == Some('\n') => drop((self.take(), self.take())),
                '#' => {
                    while self.peek(0).is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                _ => break,
            }
        }
        let line = self.line;
        Some((line, self.token(here)?))
    }

    fn token(&mut self, here: &mut Vec<Document>) -> Option<Token> {
        if self.peek(0) == Some('\n') {
            self.take();
            self.here_documents(here);
            return Some(Token::Newline);
        }
        if self.starts_with("((") {
            let text = self.until_closed('(', ')');
            return Some(Token::Word(Word { parts: vec![Part::Unknown(format!("({text}"))] }));
        }
        let digits = (0..).take_while(|&ahead| self.peek(ahead).is_some_and(|c| c.is_ascii_digit())).count();
        if digits > 0 && matches!(self.peek(digits), Some('<' | '>')) {
            self.at += digits;
        }
        if self.starts_with("<<") {
            return Some(self.here(here));
        }
        if matches!(self.peek(0), Some('<' | '>')) && self.peek(1) == Some('(') {
            self.at += 1;
            let text = self.until_closed('(', ')');
            return Some(Token::Word(Word { parts: vec![Part::Unknown(format!("<{text}"))] }));
        }
        for redirect in REDIRECTS {
            if self.starts_with(redirect) {
                self.at += redirect.len();
                return Some(Token::Redirect(redirect));
            }
        }
        for operator in OPERATORS.into_iter().chain([")"]) {
            if self.starts_with(operator) {
                self.at += operator.len();
                return Some(Token::Operator(operator));
            }
        }
        Some(Token::Word(self.word()))
    }

    /// `<<END`, `<<-END` or `<<< TEXT`.
    fn here(&mut self, here: &mut Vec<Document>) -> Token {
        self.at += 2;
        let string = self.peek(0) == Some('<');
        let tabs = self.peek(0) == Some('-');
        if string || tabs {
            self.at += 1;
        }
        while matches!(self.peek(0), Some(' ' | '\t')) {
            self.at += 1;
        }
        let word = self.word();
        if string {
            return Token::HereString(word);
        }
        let plain: String = word
            .parts
            .iter()
            .map(|part| match part {
                Part::Text(text, _) => text.as_str(),
                Part::Variable(_) | Part::Output(_) | Part::Unknown(_) => "$",
            })
            .collect();
        let is_quoted = word.parts.iter().any(|part| matches!(part, Part::Text(_, Quoted::Yes)));
        let quoted = if is_quoted { Quoted::Yes } else { Quoted::No };
        here.push(Document { text: String::new(), quoted });
        self.pending.push((here.len() - 1, plain, tabs));
        Token::Here(here.len() - 1)
    }

    fn here_documents(&mut self, here: &mut [Document]) {
        for (number, end, tabs) in std::mem::take(&mut self.pending) {
            let mut text = String::new();
            while self.peek(0).is_some() {
                let mut line = String::new();
                while let Some(c) = self.take().filter(|&c| c != '\n') {
                    line.push(c);
                }
                let line = if tabs { line.trim_start_matches('\t') } else { line.as_str() };
                if line == end {
                    break;
                }
                text.push_str(line);
                text.push('\n');
            }
            if let Some(slot) = here.get_mut(number) {
                slot.text = text;
            }
        }
    }

    fn word(&mut self) -> Word {
        let mut word = Word::default();
        while let Some(c) = self.peek(0) {
            match c {
                ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '(' | ')' | '<' | '>' => break,
                '\\' => {
                    self.at += 1;
                    match self.take() {
                        Some('\n') | None => {}
                        Some(c) => word.text(c, Quoted::Yes),
                    }
                }
                '\'' => {
                    self.at += 1;
                    let text = self.until('\'');
                    word.parts.push(Part::Text(text, Quoted::Yes));
                }
                '"' => {
                    self.at += 1;
                    self.in_double_quotes(&mut word);
                }
                '$' => self.dollar(&mut word, Quoted::No),
                '`' => {
                    self.at += 1;
                    let text = self.until('`');
                    word.parts.push(Part::Output(text));
                }
                c => {
                    self.at += 1;
                    word.text(c, Quoted::No);
                }
            }
        }
        word
    }

    fn in_double_quotes(&mut self, word: &mut Word) {
        let begin = self.line;
        word.parts.push(Part::Text(String::new(), Quoted::Yes));
        loop {
            match self.peek(0) {
                None => {
                    self.open.get_or_insert(begin);
                    return;
                }
                Some('"') => {
                    self.at += 1;
                    return;
                }
                Some('\\') => {
                    self.at += 1;
                    match self.take() {
                        Some('\n') | None => {}
                        Some(c @ ('$' | '`' | '"' | '\\')) => word.text(c, Quoted::Yes),
                        Some(c) => {
                            word.text('\\', Quoted::Yes);
                            word.text(c, Quoted::Yes);
                        }
                    }
                }
                Some('$') => self.dollar(word, Quoted::Yes),
                Some('`') => {
                    self.at += 1;
                    let text = self.until('`');
                    word.parts.push(Part::Output(text));
                }
                Some(c) => {
                    self.take();
                    word.text(c, Quoted::Yes);
                }
            }
        }
    }

    fn dollar(&mut self, word: &mut Word, quoted: Quoted) {
        self.at += 1;
        let variable = |name| Part::Variable(Reference::to(name, quoted));
        let part = match self.peek(0) {
            Some('(') if self.peek(1) == Some('(') => Part::Unknown(self.until_closed('(', ')')),
            Some('(') => Part::Output(self.until_closed('(', ')')),
            Some('{') => in_braces(&self.until_closed('{', '}'), quoted),
            Some('\'') if quoted == Quoted::No => {
                self.at += 1;
                let text = self.until('\'');
                let text = text.replace("\\n", "\n").replace("\\t", "\t");
                if text.contains('\\') { Part::Unknown(text) } else { Part::Text(text, Quoted::Yes) }
            }
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                let mut name = String::new();
                while let Some(c) = self.peek(0).filter(|&c| is_in_name(c)) {
                    name.push(c);
                    self.at += 1;
                }
                variable(name)
            }
            Some(c) if c.is_ascii_digit() || "@*#?!$-".contains(c) => {
                self.at += 1;
                variable(c.to_string())
            }
            Some(_) | None => Part::Text("$".to_owned(), Quoted::Yes),
        };
        word.parts.push(part);
    }

    /// Reads up to the next `end` and skips it.
    fn until(&mut self, end: char) -> String {
        let begin = self.line;
        let mut text = String::new();
        loop {
            match self.take() {
                None => {
                    self.open.get_or_insert(begin);
                    return text;
                }
                Some(c) if c == end => return text,
                Some(c) => text.push(c),
            }
        }
    }

    /// Reads up to the closing bracket. Quotes are ignored.
    fn until_closed(&mut self, open: char, close: char) -> String {
        let begin = self.line;
        let (mut text, mut depth) = (String::new(), 0_usize);
        loop {
            match self.take() {
                None => {
                    self.open.get_or_insert(begin);
                    return text;
                }
                Some(c) => {
                    if c == close && depth <= 1 {
                        return text;
                    }
                    if depth > 0 {
                        text.push(c);
                    }
                    depth = if c == open { depth + 1 } else { depth - usize::from(c == close) };
                }
            }
        }
    }
}

/// Parses the content of `${…}`.
fn in_braces(text: &str, quoted: Quoted) -> Part {
    let special = text.len() == 1 && text.starts_with(|c: char| c.is_ascii_digit() || "@*".contains(c));
    let end = if special { 1 } else { text.find(|c| !is_in_name(c)).unwrap_or(text.len()) };
    let (name, rest) = text.split_at(end);
    let reference = Reference::to(name.to_owned(), quoted);
    if name.is_empty() {
        return Part::Unknown(format!("${{{text}}}"));
    }
    match rest {
        "" => Part::Variable(reference),
        "[@]" => Part::Variable(Reference { all: All::Each, ..reference }),
        "[*]" => Part::Variable(Reference { all: All::Joined, ..reference }),
        _ => match [":-", ":=", "-", "="].into_iter().find_map(|sign| Some((sign, rest.strip_prefix(sign)?)))
        {
            Some((sign, default)) if !default.contains(['$', '`']) => {
                let default = Some(default.trim_matches(['"', '\'']).to_owned());
                Part::Variable(Reference { default, assigns: sign.ends_with('='), ..reference })
            }
            _ => Part::Unknown(format!("${{{text}}}")),
        },
    }
}
