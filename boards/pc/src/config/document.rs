//! A TOML document whose keys are taken one by one, with every error kept.

use std::borrow::Cow;
use std::iter;
use std::ops::RangeInclusive;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{ConfigErrors, Remark};

/// A table of the document and the keys that may be in it.
pub struct Section {
    /// The table's name; the top of the document has none.
    pub name: &'static str,
    pub keys: &'static [&'static str],
}

impl Section {
    /// Where it is, to follow the name of a key.
    fn place(&self) -> String {
        if self.name.is_empty() {
            String::new()
        } else {
            format!(" in [{}]", self.name)
        }
    }
}

/// A value that was taken.
pub struct Found<T> {
    pub value: T,
    /// Which of the document's entries it is.
    entry: usize,
}

impl<T> Found<T> {
    pub fn into_value(self) -> T {
        self.value
    }
}

/// A value as written.
pub struct Value<'a, 'i>(&'a DeValue<'i>);

impl Value<'_, '_> {
    /// The value as text; `right` says what that should be.
    pub fn text(&self, right: &str) -> Result<&str, String> {
        self.0.as_str().ok_or_else(|| format!("should be {right}"))
    }

    /// The value as a whole number in a range; `right` says both.
    pub fn number(&self, right: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
        self.0
            .as_integer()
            .and_then(|number| u64::from_str_radix(number.as_str(), number.radix()).ok())
            .filter(|number| range.contains(number))
            .ok_or_else(|| format!("should be {right}"))
    }

    pub fn truth(&self) -> Result<bool, String> {
        self.0
            .as_bool()
            .ok_or_else(|| "should be true or false".into())
    }

    pub fn is_false(&self) -> bool {
        self.0.as_bool() == Some(false)
    }

    /// The value for a message: short, on one line.
    fn shown(&self, mask: fn(&str) -> String) -> String {
        const MAX: usize = 60;
        match self.0 {
            DeValue::String(text) => {
                let text = mask(text);
                let short: String = text.chars().take(MAX).collect();
                let dots = if short.len() < text.len() { "..." } else { "" };
                format!("\"{}{dots}\"", short.escape_debug())
            }
            // A secret may lack its quotes.
            DeValue::Integer(number) => mask(&number.to_string()),
            DeValue::Float(number) => mask(&number.to_string()),
            DeValue::Boolean(truth) => mask(&truth.to_string()),
            DeValue::Datetime(time) => mask(&time.to_string()),
            DeValue::Array(_) => "[...]".into(),
            DeValue::Table(_) => "{...}".into(),
        }
    }
}

/// A key that was taken.
struct Entry {
    section: &'static str,
    key: &'static str,
    line: usize,
    /// The key, value and place, as messages show them.
    shown: String,
    /// Something was said against it.
    is_wrong: bool,
}

/// A document with what was found wrong in it so far.
pub struct Document<'i> {
    name: &'i str,
    text: &'i str,
    table: DeTable<'i>,
    entries: Vec<Entry>,
    /// The line, where there is one, and what is wrong there.
    errors: Vec<(Option<usize>, String)>,
}

impl<'i> Document<'i> {
    /// Parses the text and notes keys that are in none of the sections.
    pub fn parse(
        name: &'i str,
        text: &'i [u8],
        sections: &[Section],
    ) -> Result<Self, ConfigErrors> {
        let text = std::str::from_utf8(text).map_err(|error| {
            let valid = text.get(..error.valid_up_to()).unwrap_or_default();
            let line = 1 + valid.iter().filter(|&&byte| byte == b'\n').count();
            ConfigErrors::new(
                name,
                vec![(Some(line), "not text: should be saved as UTF-8".into())],
            )
        })?;
        let (table, syntax) = DeTable::parse_recoverable(text);
        let mut document = Self {
            name,
            text,
            table: table.into_inner(),
            entries: Vec::new(),
            errors: Vec::new(),
        };
        for error in syntax {
            let at = error.span().map_or(text.len(), |span| span.start);
            let line = document.line(at);
            let message = syntax_error(text, line, error.message());
            // What follows the first error of a line is mostly its consequence.
            if document
                .errors
                .iter()
                .all(|(other, _)| *other != Some(line))
            {
                document.errors.push((Some(line), message));
            }
        }
        document = document.without_errors()?;
        document.note_unknown(sections);
        Ok(document)
    }

    /// The document, or its errors if there are any.
    fn without_errors(self) -> Result<Self, ConfigErrors> {
        if self.errors.is_empty() {
            return Ok(self);
        }
        Err(ConfigErrors::new(self.name, self.errors))
    }

    /// Ends the reading; gives what was wrong, if anything.
    pub fn finish(self) -> Result<(), ConfigErrors> {
        self.without_errors().map(|_| ())
    }

    /// The number of the line that an offset is in.
    fn line(&self, offset: usize) -> usize {
        let before = self
            .text
            .as_bytes()
            .get(..offset)
            .unwrap_or(self.text.as_bytes());
        1 + before.iter().filter(|&&byte| byte == b'\n').count()
    }

    fn section(&self, section: &Section) -> Option<&DeTable<'i>> {
        if section.name.is_empty() {
            return Some(&self.table);
        }
        self.table.get(section.name)?.get_ref().as_table()
    }

    /// Whether a key is there, right or wrong.
    pub fn has(&self, section: &Section, key: &str) -> bool {
        self.section(section)
            .is_some_and(|table| table.contains_key(key))
    }

    /// Takes a value if its key is there. What the closure says against it is noted.
    pub fn get<T>(
        &mut self,
        section: &Section,
        key: &'static str,
        take: impl FnOnce(Value<'_, 'i>) -> Result<T, String>,
    ) -> Option<Found<T>> {
        self.get_shown(section, key, str::to_owned, take)
    }

    /// Like [`Self::get`], for a value that no message shows.
    pub fn get_secret<T>(
        &mut self,
        section: &Section,
        key: &'static str,
        take: impl FnOnce(Value<'_, 'i>) -> Result<T, String>,
    ) -> Option<Found<T>> {
        self.get_shown(section, key, |_| "...".into(), take)
    }

    /// Like [`Self::get`], with messages showing text as `mask` makes it.
    pub fn get_shown<T>(
        &mut self,
        section: &Section,
        key: &'static str,
        mask: fn(&str) -> String,
        take: impl FnOnce(Value<'_, 'i>) -> Result<T, String>,
    ) -> Option<Found<T>> {
        let value = self.section(section)?.get(key)?;
        let line = self.line(value.span().start);
        let shown = Value(value.get_ref()).shown(mask);
        let shown = format!("`{key} = {shown}`{}", section.place());
        let taken = take(Value(value.get_ref()));
        let entry = self.entries.len();
        self.entries.push(Entry {
            section: section.name,
            key,
            line,
            shown,
            is_wrong: false,
        });
        match taken {
            Ok(value) => Some(Found { value, entry }),
            Err(wrong) => {
                self.object(entry, &wrong);
                None
            }
        }
    }

    /// Takes a list of texts if its key is there, and notes what the closure says against each of
    /// them, in its line. `right` says what the value should be.
    pub fn get_texts<T>(
        &mut self,
        section: &Section,
        key: &'static str,
        right: &str,
        mut take: impl FnMut(&str) -> Result<T, String>,
    ) -> Option<Found<Vec<T>>> {
        let mut wrong = Vec::new();
        let found = self.get(section, key, |value| {
            let list = value.0.as_array();
            let list = list.ok_or_else(|| format!("should be a list of {right}"))?;
            let mut taken = Vec::new();
            for (number, item) in list.iter().enumerate() {
                let value = Value(item.get_ref());
                let text = value.text("text in quotes");
                match text.and_then(&mut take) {
                    Ok(text) => taken.push(text),
                    Err(what) => {
                        let shown = value.shown(str::to_owned);
                        let what = format!("number {}, {shown}, {what}", number + 1);
                        wrong.push((item.span().start, what));
                    }
                }
            }
            Ok(taken)
        })?;
        if wrong.is_empty() {
            return Some(found);
        }
        for (at, what) in wrong {
            let line = self.line(at);
            if let Some(entry) = self.entries.get_mut(found.entry) {
                entry.is_wrong = true;
                self.errors
                    .push((Some(line), format!("{}: {what}", entry.shown)));
            }
        }
        None
    }

    /// Notes what is wrong about an entry.
    fn object(&mut self, entry: usize, wrong: &str) {
        if let Some(entry) = self.entries.get_mut(entry) {
            entry.is_wrong = true;
            let error = format!("{}: {wrong}", entry.shown);
            self.errors.push((Some(entry.line), error));
        }
    }

    /// Notes what the closure says against a value that was taken.
    pub fn check<T, S: Into<String>>(
        &mut self,
        found: &Option<Found<T>>,
        wrong: impl FnOnce(&T) -> Option<S>,
    ) {
        if let Some(found) = found
            && let Some(wrong) = wrong(&found.value)
        {
            self.object(found.entry, &wrong.into());
        }
    }

    /// Puts remarks where they belong: errors among the errors, and warnings are given back. What
    /// only follows from another error is left out.
    pub fn remark(&mut self, remarks: Vec<Remark>) -> Vec<String> {
        let mut warnings = Vec::new();
        for remark in remarks {
            let entry = |key| {
                let is_it = |entry: &Entry| (entry.section, entry.key) == (remark.section, key);
                self.entries.iter().position(is_it)
            };
            let keys = iter::once(remark.key).chain(remark.other);
            let is_wrong = |entry: usize| self.entries.get(entry).is_some_and(|e| e.is_wrong);
            if keys.filter_map(entry).any(is_wrong) {
                continue;
            }
            let (line, subject) = match entry(remark.key).and_then(|entry| self.entries.get(entry))
            {
                Some(entry) => (Some(entry.line), entry.shown.clone()),
                None => self.absent(remark.section, remark.key),
            };
            let text = format!("{subject}: {}", remark.text);
            match (remark.is_warning, line) {
                (false, line) => self.errors.push((line, text)),
                (true, Some(line)) => warnings.push(format!("{}:{line}: {text}", self.name)),
                (true, None) => warnings.push(format!("{}: {text}", self.name)),
            }
        }
        warnings
    }

    /// Notes it if a section is there without the key that it needs.
    pub fn require(&mut self, section: &Section, key: &'static str, right: &str) {
        if self
            .section(section)
            .is_none_or(|table| table.contains_key(key))
        {
            return;
        }
        let (Some(line), shown) = self.absent(section.name, key) else {
            return;
        };
        self.entries.push(Entry {
            section: section.name,
            key,
            line,
            shown,
            is_wrong: true,
        });
        self.object(self.entries.len() - 1, &format!("it should be {right}"));
    }

    /// How messages show a key that is not there, and the line of its section, if that is.
    fn absent(&self, section: &str, key: &str) -> (Option<usize>, String) {
        match self.table.get_key_value(section) {
            Some((name, value)) if value.get_ref().is_table() => (
                Some(self.line(name.span().start)),
                format!("[{section}] has no `{key}`"),
            ),
            _ if section.is_empty() => (None, format!("there is no `{key}`")),
            _ => (None, format!("there is no [{section}] with a `{key}`")),
        }
    }

    fn note_unknown(&mut self, sections: &[Section]) {
        let mut unknown = Vec::new();
        for (key, value) in &self.table {
            let name: &str = key.get_ref();
            let section = sections
                .iter()
                .find(|section| !name.is_empty() && section.name == name);
            match (section, value.get_ref()) {
                (Some(section), DeValue::Table(table)) => {
                    unknown.extend(
                        table
                            .keys()
                            .filter_map(|key| self.unknown_key(key, section, sections)),
                    );
                }
                (Some(_), value) => {
                    let shown = Value(value).shown(str::to_owned);
                    let line = self.line(key.span().start);
                    unknown.push((
                        Some(line),
                        format!("`{name} = {shown}`: should be a table, with `[{name}]` on a line of its own"),
                    ));
                }
                (None, DeValue::Table(_)) => unknown.push(self.unknown_table(key, sections)),
                (None, _) => {
                    let top = sections.iter().find(|section| section.name.is_empty());
                    unknown.extend(top.and_then(|top| self.unknown_key(key, top, sections)));
                }
            }
        }
        self.errors.extend(unknown);
    }

    fn unknown_key(
        &self,
        key: &Spanned<Cow<'_, str>>,
        section: &Section,
        sections: &[Section],
    ) -> Option<(Option<usize>, String)> {
        let name: &str = key.get_ref();
        if section.keys.contains(&name) {
            return None;
        }
        let elsewhere = sections.iter().find(|section| section.keys.contains(&name));
        let hint = match (nearest(name, section.keys), elsewhere) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, Some(Section { name: "", .. })) => {
                "it should stand at the top, before the first [table]".into()
            }
            (None, Some(right)) => format!("it should stand in [{}]", right.name),
            (None, None) => {
                let distant = sections
                    .iter()
                    .find_map(|section| Some((section, nearest(name, section.keys)?)));
                match distant {
                    Some((right, near)) => format!("did you mean `{near}`{}?", right.place()),
                    None => format!("known are {}", list(section.keys, "`", "`")),
                }
            }
        };
        let place = section.place();
        Some((
            Some(self.line(key.span().start)),
            format!("unknown key `{}`{place}: {hint}", escape(name)),
        ))
    }

    fn unknown_table(
        &self,
        key: &Spanned<Cow<'_, str>>,
        sections: &[Section],
    ) -> (Option<usize>, String) {
        let name: &str = key.get_ref();
        let names: Vec<_> = sections
            .iter()
            .map(|section| section.name)
            .filter(|name| !name.is_empty())
            .collect();
        let hint = match nearest(name, &names) {
            Some(near) => format!("did you mean [{near}]?"),
            None => format!("known are {}", list(&names, "[", "]")),
        };
        (
            Some(self.line(key.span().start)),
            format!("unknown table [{}]: {hint}", escape(name)),
        )
    }
}

/// The parser's message, with the key or table that it is about. What follows the key may be a
/// secret.
fn syntax_error(text: &str, line: usize, message: &str) -> String {
    let row = text.lines().nth(line - 1).unwrap_or_default();
    let subject = match row.split_once('=') {
        Some((key, _)) => key.trim(),
        None => row.trim(),
    };
    let message = match message {
        "duplicate key" => "is there already; it should be there once".into(),
        message if message.contains("string values must be quoted") => {
            "text should stand in straight quotes, such as \"home\"".into()
        }
        message => format!("not TOML: {}", message.trim().replace('\n', "; ")),
    };
    match subject {
        "" => message,
        subject if message.starts_with("is ") => format!("`{}` {message}", escape(subject)),
        subject => format!("`{}`: {message}", escape(subject)),
    }
}

fn escape(name: &str) -> String {
    name.chars().take(40).flat_map(char::escape_debug).collect()
}

/// The known name that a misspelt one is likely to mean.
fn nearest<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    let plain = |name: &str| name.to_lowercase().replace(['-', ' ', '_'], "");
    let name = plain(name);
    let score = |known: &str| strsim::jaro_winkler(&name, &plain(known));
    known
        .iter()
        .copied()
        .filter(|known| score(known) >= 0.84)
        .max_by(|a, b| score(a).total_cmp(&score(b)))
}

/// `a`, `b` and `c`.
fn list(names: &[&str], open: &str, close: &str) -> String {
    let quoted: Vec<_> = names
        .iter()
        .map(|name| format!("{open}{name}{close}"))
        .collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}
