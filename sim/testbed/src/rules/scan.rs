//! A file as tokens: where it holds what a rule forbids, where its statements end, and what of it is a test.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::{RULES, Rule, SELECT, STATIC};

/// Types that can be changed through a shared reference, beside those whose names begin with `Atomic`.
const INTERIOR: [&str; 10] = [
    "Mutex",
    "RwLock",
    "OnceLock",
    "LazyLock",
    "OnceCell",
    "LazyCell",
    "Cell",
    "RefCell",
    "UnsafeCell",
    "Once",
];

/// What can begin an item, behind its attributes and visibility.
const ITEMS: [&str; 14] = [
    "async", "const", "enum", "extern", "fn", "impl", "let", "mod", "static", "struct", "trait", "type",
    "unsafe", "use",
];

/// What was found in a file.
#[derive(Default)]
pub struct Scan {
    /// What is forbidden: the line, the rule, and the words.
    pub found: Vec<(usize, &'static Rule, String)>,
    /// Modules in files of their own that are there in tests only.
    pub test_modules: Vec<String>,
    /// First and last line of everything that ends with `;`, `,` or a brace.
    statements: Vec<(usize, usize)>,
    /// First and last line of what is a test, and of literals of several lines.
    no_comments: Vec<(usize, usize)>,
    /// One file may import two things under one name.
    imports: Vec<Import>,
}

/// What a `use` brings in.
struct Import {
    path: String,
    /// What it is called here.
    name: String,
    line: usize,
    /// By the rule that forbids it as a whole, it is found where it is imported and not where it is used.
    rule: Option<&'static Rule>,
}

impl Scan {
    /// Reads a file; the error is a line and what is wrong with it.
    pub fn of(text: &str) -> Result<Self, (usize, String)> {
        let tokens: TokenStream = text.parse().map_err(|error: proc_macro2::LexError| {
            (error.span().start().line, format!("it cannot be read as Rust: {error}"))
        })?;
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut scan = Self::default();
        let mut statements = Vec::new();
        scan.walk(&tokens, &mut statements);
        scan.imports = statements.iter().filter_map(|it| imports(it)).flatten().collect();
        let globs: Vec<Import> = scan.imports.iter().flat_map(expand).collect();
        scan.imports.extend(globs);
        for statement in &statements {
            scan.judge(statement);
        }
        let imports = scan.imports.iter();
        let forbidden = imports.filter_map(|it| Some((it.line, it.rule?, format!("use {}", it.path))));
        scan.found.extend(forbidden);
        scan.found.sort_by_key(|(line, rule, _)| (*line, rule.name));
        scan.found.dedup_by_key(|(line, rule, _)| (*line, rule.name));
        Ok(scan)
    }

    /// Whether a line is inside of a literal, or of a test.
    pub fn is_no_comment(&self, line: usize) -> bool {
        self.no_comments.iter().any(|(first, last)| (first..=last).contains(&&line))
    }

    /// The last line of what begins on this one.
    pub fn end_of_what_begins_at(&self, line: usize) -> usize {
        self.statements
            .iter()
            .filter(|(first, _)| *first == line)
            .map(|(_, last)| *last)
            .max()
            .unwrap_or(line)
    }

    /// Takes tokens apart into statements, and these into the ones inside of them, without tests.
    fn walk(&mut self, tokens: &[TokenTree], statements: &mut Vec<Vec<TokenTree>>) {
        let mut rest = tokens;
        while !rest.is_empty() {
            let (statement, behind) = rest.split_at(length(rest));
            let body = without_attributes(statement);
            let (attributes, _) = statement.split_at(statement.len() - body.len());
            let is_of_file = is_punct(attributes.get(1), '!');
            if is_test(attributes) {
                let all = if is_of_file { rest } else { statement };
                self.no_comments.push((line(&all[0]), last_line(all)));
                if let [.., TokenTree::Ident(word), TokenTree::Ident(name), TokenTree::Punct(_)] = body
                    && word == "mod"
                {
                    self.test_modules.push(name.to_string());
                }
                rest = if is_of_file { &[] } else { behind };
                continue;
            }
            rest = behind;
            let begins = attributes.iter().filter(|token| is_punct(Some(token), '#')).chain(body.first());
            self.statements.extend(begins.map(|token| (line(token), last_line(statement))));
            statements.push(body.to_vec());
            for token in body {
                match token {
                    TokenTree::Group(group) if !is_import(body) => {
                        self.walk(&group.stream().into_iter().collect::<Vec<_>>(), statements);
                    }
                    TokenTree::Literal(literal) => {
                        let (first, last) = (literal.span().start().line, literal.span().end().line);
                        self.no_comments.extend((first < last).then_some((first + 1, last)));
                    }
                    _ => {}
                }
            }
        }
    }

    fn judge(&mut self, statement: &[TokenTree]) {
        if is_import(statement) {
            return;
        }
        self.judge_static(statement);
        let mut index = 0;
        while index < statement.len() {
            let Some(path) = path_at(statement, index) else {
                index += 1;
                continue;
            };
            let at = line(&statement[index]);
            index += 3 * path.len() - 2; // between two words there are two colons
            let is_macro = is_punct(statement.get(index), '!');
            let is_select = is_macro && path.last().is_some_and(|word| word == "select");
            if is_select && statement.get(index + 1).is_some_and(is_unbiased) {
                self.found.push((at, &SELECT, "select! without `biased;`".to_owned()));
            }
            let mut words = path.clone();
            words.extend(path.last().filter(|_| is_macro).map(|word| format!("{word}!")));
            self.judge_path(&path, &words, at);
        }
    }

    fn judge_path(&mut self, path: &[String], words: &[String], at: usize) {
        let imports: Vec<&Import> = self.imports.iter().filter(|it| it.name == path[0]).collect();
        if imports.iter().any(|it| it.rule.is_some()) {
            return;
        }
        let whole = imports.iter().map(|it| {
            let below = path[1..].iter().map(String::as_str);
            std::iter::once(&*it.path).chain(below).collect::<Vec<_>>().join("::")
        });
        let mut whole: Vec<String> = whole.collect();
        if whole.is_empty() {
            whole.push(path.join("::"));
        }
        let named = |rule: &Rule| rule.names.iter().any(|name| words.iter().any(|word| word == name));
        let rule = RULES.into_iter().find(|rule| named(rule) || whole.iter().any(|it| forbids(rule, it)));
        self.found.extend(rule.map(|rule| (at, rule, path.join("::"))));
    }

    /// `static NAME: TYPE`.
    fn judge_static(&mut self, statement: &[TokenTree]) {
        for (index, token) in statement.iter().enumerate() {
            let is_lifetime = index > 0 && is_punct(statement.get(index - 1), '\'');
            if is_lifetime || !is_ident(Some(token), "static") {
                continue;
            }
            if is_ident(statement.get(index + 1), "mut") {
                self.found.push((line(token), &STATIC, "static mut".to_owned()));
            } else if is_punct(statement.get(index + 2), ':') {
                let kind = statement[index + 3..].iter().take_while(|token| !is_punct(Some(token), '='));
                let changes = kind.filter_map(|token| match token {
                    TokenTree::Ident(word) => Some(word.to_string()),
                    _ => None,
                });
                let changes =
                    changes.into_iter().find(|it| INTERIOR.contains(&&**it) || it.starts_with("Atomic"));
                self.found
                    .extend(changes.map(|kind| (line(token), &STATIC, format!("static of type {kind}"))));
            }
        }
    }
}

/// Whether a rule forbids a path, or something that it is in.
fn forbids(rule: &Rule, path: &str) -> bool {
    let below =
        |parent: &str| path.strip_prefix(parent).is_some_and(|it| it.is_empty() || it.starts_with("::"));
    rule.paths.iter().any(|parent| below(parent))
}

/// How many tokens the first statement, item, field or argument has.
fn length(tokens: &[TokenTree]) -> usize {
    let rest = without_attributes(tokens);
    let attributes = tokens.len() - rest.len();
    let visible = without_visibility(rest);
    let is_item = ITEMS.iter().any(|word| is_ident(visible.first(), word));
    let is_use = is_import(rest);
    let end = rest.iter().position(|token| match token {
        TokenTree::Punct(punct) => punct.as_char() == ';' || (punct.as_char() == ',' && !is_item),
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace && !is_use,
        _ => false,
    });
    attributes + end.map_or(rest.len(), |end| end + 1)
}

/// What follows the attributes.
fn without_attributes(mut tokens: &[TokenTree]) -> &[TokenTree] {
    while is_punct(tokens.first(), '#') {
        let inner = usize::from(is_punct(tokens.get(1), '!'));
        tokens = tokens.get(2 + inner..).unwrap_or_default();
    }
    tokens
}

fn without_visibility(tokens: &[TokenTree]) -> &[TokenTree] {
    match tokens {
        [TokenTree::Ident(word), TokenTree::Group(_), rest @ ..] if word == "pub" => rest,
        [TokenTree::Ident(word), rest @ ..] if word == "pub" => rest,
        _ => tokens,
    }
}

fn is_import(statement: &[TokenTree]) -> bool {
    is_ident(without_visibility(statement).first(), "use")
}

/// Whether one of these attributes is `cfg(test)`, or `cfg(all(test, ..))`.
fn is_test(attributes: &[TokenTree]) -> bool {
    let text = |token: &TokenTree| token.to_string().replace(' ', "");
    attributes.iter().map(text).any(|it| it == "[cfg(test)]" || it.starts_with("[cfg(all(test,"))
}

/// The path, as words, that begins here.
fn path_at(tokens: &[TokenTree], at: usize) -> Option<Vec<String>> {
    let is_first = at == 0 || !(is_punct(tokens.get(at - 1), '\'') || is_punct(tokens.get(at - 1), '.'));
    let TokenTree::Ident(word) = &tokens[at] else { return None };
    let mut path = vec![word.to_string()];
    let mut next = at + 1;
    while let (true, Some(TokenTree::Ident(word))) = (is_colons(tokens, next), tokens.get(next + 2)) {
        path.push(word.to_string());
        next += 3;
    }
    is_first.then_some(path)
}

/// What a `use` statement imports; nothing if it is none.
fn imports(statement: &[TokenTree]) -> Option<Vec<Import>> {
    let mut found = Vec::new();
    is_import(statement).then(|| {
        import("", &without_visibility(statement)[1..], &mut found);
        found
    })
}

fn import(parent: &str, tree: &[TokenTree], found: &mut Vec<Import>) {
    let Some(line) = tree.first().map(line) else { return };
    let (mut path, mut name) = (parent.to_owned(), None);
    for token in tree {
        let word = match token {
            TokenTree::Group(group) => {
                let inside: Vec<TokenTree> = group.stream().into_iter().collect();
                inside.split(|token| is_punct(Some(token), ',')).for_each(|tree| import(&path, tree, found));
                return;
            }
            TokenTree::Punct(punct) if punct.as_char() != '*' => continue,
            other => other.to_string(),
        };
        match &*word {
            "as" => name = Some(String::new()),
            _ if name.is_some() => name = Some(word),
            "self" if !path.is_empty() => {}
            _ if path.is_empty() => path = word,
            _ => path = format!("{path}::{word}"),
        }
    }
    let name = name.unwrap_or_else(|| path.rsplit("::").next().unwrap_or_default().to_owned());
    let named = |rule: &Rule| path.split("::").any(|word| rule.names.contains(&word));
    let rule = RULES.into_iter().find(|rule| named(rule) || forbids(rule, &path));
    found.push(Import { path, name, line, rule });
}

/// What `use parent::*` might bring in, as far as a rule speaks of it.
fn expand(import: &Import) -> impl Iterator<Item = Import> {
    let parent = import.path.strip_suffix("*").filter(|_| import.rule.is_none());
    RULES.iter().flat_map(|rule| rule.paths).filter_map(move |path| {
        let name = path.strip_prefix(parent?)?.split("::").next()?.to_owned();
        let path = format!("{}{name}", parent?);
        Some(Import { path, name, line: import.line, rule: None })
    })
}

/// Whether it is what a macro is given, and does not begin with `biased;`.
fn is_unbiased(token: &TokenTree) -> bool {
    let TokenTree::Group(group) = token else { return false };
    let mut tokens = group.stream().into_iter();
    !(is_ident(tokens.next().as_ref(), "biased") && is_punct(tokens.next().as_ref(), ';'))
}

fn is_ident(token: Option<&TokenTree>, wanted: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(word)) if word == wanted)
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

fn is_colons(tokens: &[TokenTree], at: usize) -> bool {
    is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')
}

fn line(token: &TokenTree) -> usize {
    token.span().start().line
}

fn last_line(tokens: &[TokenTree]) -> usize {
    tokens.last().map_or(0, |token| token.span().end().line)
}
