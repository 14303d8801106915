//! The `device.toml` of a device that was paired.

use std::path::Path;

use aldis_pc::Config;
use toml_edit::{DocumentMut, Item, Table, value};

/// What the hub says about a device.
pub struct Entry<'a> {
    pub id: &'a str,
    /// `mqtt://host:port`, without a user or password.
    pub url: &'a str,
    pub password: &'a str,
    /// The device to which its presets go, for a new file.
    pub peer: Option<&'a str>,
}

/// A file for the device: a new one, or this one with what the hub says in its place.
pub fn compose(entry: &Entry<'_>, before: Option<&str>) -> Result<String, String> {
    let text = match before {
        Some(before) => changed(entry, before)?,
        None => new(entry),
    };
    // A device that cannot read it is found out here.
    let config =
        Config::parse("device.toml", text.as_bytes()).map_err(|error| error.to_string())?;
    let broker = &config.broker;
    let is_whole = config.id.as_deref() == Some(entry.id)
        && broker.username.as_deref() == Some(entry.id)
        && broker.password.as_ref().map(|password| password.expose()) == Some(entry.password);
    match is_whole {
        true => Ok(text),
        false => Err("the device's settings cannot be written into this file".to_owned()),
    }
}

fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}

fn new(entry: &Entry<'_>) -> String {
    let Entry {
        id, url, password, ..
    } = entry;
    let (id, url, password) = (quoted(id), quoted(url), quoted(password));
    let messages = entry.peer.map_or_else(String::new, |peer| {
        format!("\n[messages]\npeer = {}\n", quoted(peer))
    });
    format!(
        "# A device that was paired with a hub. The password is here alone: keep the file to yourself.\n\
         id = {id}\n\n\
         # A board needs its network; a program does not.\n\
         # [wifi]\n\
         # ssid = \"home\"\n\
         # password = \"...\"\n\
         # country = \"LT\"\n\n\
         [broker]\n\
         url = {url}\n\
         username = {id}\n\
         password = {password}\n{messages}"
    )
}

fn changed(entry: &Entry<'_>, before: &str) -> Result<String, String> {
    let mut document: DocumentMut = before
        .parse()
        .map_err(|error| format!("not a file in TOML: {error}"))?;
    set(document.as_table_mut(), "id", entry.id);
    let broker = document
        .entry("broker")
        .or_insert_with(|| Item::Table(Table::new()));
    let broker = broker
        .as_table_like_mut()
        .ok_or("`broker` is not a section")?;
    for (key, text) in [
        ("url", entry.url),
        ("username", entry.id),
        ("password", entry.password),
    ] {
        set(broker, key, text);
    }
    Ok(document.to_string())
}

/// Sets a value and leaves the comments beside the old one.
fn set(table: &mut dyn toml_edit::TableLike, key: &str, text: &str) {
    let mut new = value(text);
    if let (Some(new), Some(old)) = (new.as_value_mut(), table.get(key).and_then(Item::as_value)) {
        *new.decor_mut() = old.decor().clone();
    }
    match table.get_mut(key) {
        // The comments above it are the key's.
        Some(item) => *item = new,
        None => {
            table.insert(key, new);
        }
    }
}

/// What the QR code says: what a device needs to come in.
pub fn in_short(entry: &Entry<'_>) -> String {
    let Entry {
        id, url, password, ..
    } = entry;
    let (id, url, password) = (quoted(id), quoted(url), quoted(password));
    format!("id={id}\n[broker]\nurl={url}\nusername={id}\npassword={password}\n")
}

/// The settings of a device's file, and its text.
pub fn read(path: &Path) -> Result<(Config, String), String> {
    let config = Config::read(path).map_err(|error| error.to_string())?;
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok((config, text))
}

#[cfg(test)]
mod tests {
    use aldis_pc::Config;

    use super::{Entry, compose, in_short};

    const ENTRY: Entry<'_> = Entry {
        id: "kitchen",
        url: "mqtt://192.168.1.107:1883",
        password: "secret",
        peer: Some("attic"),
    };

    /// A new device that does not find its hub.
    #[test]
    fn a_new_file_is_read_by_the_device() {
        for text in [compose(&ENTRY, None).unwrap(), in_short(&ENTRY)] {
            let config = Config::parse("device.toml", text.as_bytes()).unwrap();
            assert_eq!(config.id.as_deref(), Some("kitchen"));
            let url = config.broker.url.unwrap();
            assert_eq!((url.host.as_str(), url.port), ("192.168.1.107", 1883));
            assert_eq!(config.broker.username.as_deref(), Some("kitchen"));
            assert_eq!(config.broker.password.unwrap().expose(), "secret");
        }
        let text = compose(&ENTRY, None).unwrap();
        assert!(text.contains("peer = \"attic\""), "{text}");
    }

    /// Settings and comments of a device are lost when it is paired, or its old password stays.
    #[test]
    fn a_file_that_is_there_keeps_what_it_says() {
        for (before, kept) in [
            ("", ""),
            (
                "# mine\nid = \"old\" # its name\n[wifi]\nssid = \"home\"\n\n[pins]\nled = 4\n",
                "# mine\nid = \"kitchen\" # its name\n[wifi]\nssid = \"home\"\n\n[pins]\nled = 4\n",
            ),
            (
                "[broker] # here\nurl = \"mqtt://me:old@hub\"\nkeep_alive_s = 20\n",
                "keep_alive_s = 20",
            ),
            (
                "broker = { url = \"mqtt://hub\", version = 4, username = \"x\", password = \"old\" }\n",
                "version = 4",
            ),
            ("broker.password = \"old\"\nbroker.username = \"x\"\n", ""),
        ] {
            let text = compose(&ENTRY, Some(before)).unwrap();
            assert!(text.contains(kept), "{before}:\n{text}");
            assert!(!text.contains("old"), "{text}");
        }
    }
}
