//! Messages read by us and by serde_json, from payloads that programs and people might make.

#[path = "reference/mod.rs"]
mod reference;

use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

fn keys() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => select(vec!["id", "from", "text", "expires_s", "priority", "command", "wpm"])
            .prop_map(|key| format!("\"{key}\"")),
        1 => strings(),
    ]
}

/// A string as JSON has it, some characters as escapes.
fn strings() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "[a-z0-9 ]{1,40}",
        1 => "[^\"\\\\\\x00-\\x1f]{1,10}",
        1 => any::<char>().prop_map(|char| {
            let mut units = [0; 2];
            let units = char.encode_utf16(&mut units).iter();
            units.map(|unit| format!("\\u{unit:04x}")).collect()
        }),
        1 => select(vec![r"\n", r"\t", r"\r", r"\\", r#"\""#, r"\/", r"\b", r"\ud83d", "low"])
            .prop_map(str::to_owned),
    ];
    vec(part, 0..8).prop_map(|parts| format!("\"{}\"", parts.concat()))
}

fn values() -> impl Strategy<Value = String> {
    let words = [
        "null",
        "true",
        "\"low\"",
        "\"normal\"",
        "\"high\"",
        "\"hall\"",
        "0",
        "[]",
    ];
    let leaf = prop_oneof![
        4 => strings(),
        2 => any::<u32>().prop_map(|number| number.to_string()),
        1 => "-?(0|[1-9][0-9]{0,12})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?",
        3 => select(words.to_vec()).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(20, 30, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(" , "))),
            vec((keys(), inner), 0..3).prop_map(|fields| object(&fields)),
        ]
    })
}

fn object(fields: &[(String, String)]) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|(key, value)| format!("{key}: {value}"))
        .collect();
    format!("{{{}}}", fields.join(","))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// A message that means one thing to the sender's program and another to the device.
    #[test]
    fn objects(fields in vec((keys(), values()), 0..8)) {
        reference::check(object(&fields).as_bytes());
    }

    /// The same with one byte that was damaged, or cut.
    #[test]
    fn damaged_objects(
        fields in vec((keys(), values()), 0..8),
        at: proptest::sample::Index,
        byte: u8,
        cut: bool,
    ) {
        let mut payload = object(&fields).into_bytes();
        let at = at.index(payload.len());
        if cut {
            payload.truncate(at);
        } else {
            payload[at] = byte;
        }
        reference::check(&payload);
    }

    /// What a phone sends.
    #[test]
    fn plain_text(payload in "[ \\PC\\r\\n\\t]{0,300}", bytes: Vec<u8>) {
        reference::check(payload.as_bytes());
        reference::check(&bytes);
    }
}

/// What the fuzzer starts from.
#[test]
fn the_corpus_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mqtt/fuzz/corpus/payloads");
    let mut inputs = 0;
    for file in std::fs::read_dir(corpus).unwrap() {
        reference::check(&std::fs::read(file.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs >= 10, "{inputs}");
}
