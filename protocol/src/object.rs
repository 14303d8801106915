//! A JSON object, written field by field.

use crate::writer::Writer;

/// Fields between braces, the absent left out.
pub struct Object<'w, 'b> {
    writer: &'w mut Writer<'b>,
    empty: bool,
}

impl<'w, 'b> Object<'w, 'b> {
    pub fn new(writer: &'w mut Writer<'b>) -> Self {
        writer.str("{");
        Self {
            writer,
            empty: true,
        }
    }

    /// Begins a field. Keys are written as they are: none of ours needs an escape.
    pub fn key(&mut self, key: &'static str) -> &mut Writer<'b> {
        self.writer
            .str(if self.empty { "\"" } else { ",\"" })
            .str(key)
            .str("\":");
        self.empty = false;
        self.writer
    }

    pub fn number(&mut self, key: &'static str, number: Option<u64>) {
        if let Some(number) = number {
            self.key(key).number(number);
        }
    }

    pub fn bool(&mut self, key: &'static str, value: bool) {
        self.key(key).str(if value { "true" } else { "false" });
    }

    pub fn text(&mut self, key: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            self.key(key).quoted(text);
        }
    }

    /// A text in parts.
    pub fn parts<'t>(&mut self, key: &'static str, parts: impl Iterator<Item = &'t str>) {
        let writer = self.key(key);
        writer.str("\"");
        for part in parts {
            writer.escaped(part);
        }
        writer.str("\"");
    }

    pub fn object(&mut self, key: &'static str, fields: impl FnOnce(&mut Object<'_, 'b>)) {
        let mut object = Object::new(self.key(key));
        fields(&mut object);
        object.end();
    }

    pub fn end(self) {
        self.writer.str("}");
    }
}
