//! Which serial port a board is at, and why it cannot be opened.

use std::path::Path;

use serialport::{ErrorKind, SerialPortInfo, SerialPortType, UsbPortInfo};

/// A serial port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    pub name: String,
    pub usb: UsbPortInfo,
}

/// What a port that is no USB port is taken for.
const NO_USB: UsbPortInfo = UsbPortInfo {
    vid: 0,
    pid: 0,
    serial_number: None,
    manufacturer: None,
    product: None,
};

/// Every port of this machine, as far as it tells.
pub fn all() -> Vec<SerialPortInfo> {
    // Without it, the library panics.
    if cfg!(target_os = "linux") && !Path::new("/sys/class/tty").is_dir() {
        return Vec::new();
    }
    serialport::available_ports().unwrap_or_default()
}

/// The port that was named, or else the only one at USB.
pub fn choose(named: Option<&str>, ports: &[SerialPortInfo]) -> Result<Port, String> {
    let usb: Vec<Port> = ports.iter().filter_map(usb).collect();
    if let Some(name) = named {
        // `/dev/serial/by-id/...` is a link to the name that is in the list.
        let real = std::fs::canonicalize(name);
        let real = real.as_ref().ok().and_then(|path| path.to_str());
        let usb = usb
            .into_iter()
            .find(|port| port.name == name || Some(&*port.name) == real);
        return Ok(Port {
            name: name.to_owned(),
            usb: usb.map_or(NO_USB, |port| port.usb),
        });
    }
    match usb.as_slice() {
        [port] => Ok(port.clone()),
        [] => Err(format!(
            "no board is connected: there is no serial port at USB. Connect one with a cable that \
             carries data, or name its port with `--port`{}",
            list("; other ports are", &names(ports))
        )),
        several => {
            let lines: Vec<_> = several.iter().map(describe).collect();
            Err(format!(
                "there are {} serial ports at USB: name the board's with `--port`\n{}",
                several.len(),
                lines.join("\n")
            ))
        }
    }
}

fn usb(port: &SerialPortInfo) -> Option<Port> {
    match &port.port_type {
        SerialPortType::UsbPort(usb) => Some(Port {
            name: port.port_name.clone(),
            usb: usb.clone(),
        }),
        _ => None,
    }
}

fn names(ports: &[SerialPortInfo]) -> Vec<&str> {
    ports.iter().map(|port| port.port_name.as_str()).collect()
}

fn list(what: &str, names: &[&str]) -> String {
    match names {
        [] => String::new(),
        names => format!("{what} {}", names.join(", ")),
    }
}

/// A port and what is there, on a line.
fn describe(port: &Port) -> String {
    let usb = &port.usb;
    let what: Vec<_> = [&usb.manufacturer, &usb.product, &usb.serial_number]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    let (name, vid, pid) = (&port.name, usb.vid, usb.pid);
    format!("  {name}  {vid:04x}:{pid:04x} {}", what.join(", "))
        .trim_end()
        .to_owned()
}

/// Why a port could not be opened, and what to do.
pub fn unopened(port: &Port, error: &serialport::Error, ports: &[SerialPortInfo]) -> String {
    let name = &port.name;
    match error.kind() {
        ErrorKind::Io(std::io::ErrorKind::NotFound) => format!(
            "{name}: there is no such port{}",
            list("; there are", &names(ports))
        ),
        ErrorKind::Io(std::io::ErrorKind::PermissionDenied) => {
            let group = owner(Path::new(name)).unwrap_or_else(|| "dialout".into());
            format!(
                "{name}: permission denied: the port is for the group `{group}`; join it with \
                 `sudo usermod -aG {group} $USER`, then log in again"
            )
        }
        ErrorKind::NoDevice => format!(
            "{name}: is in use: end the program that has it open, such as a monitor or another \
             `aldis flash`"
        ),
        _ => format!("{name}: cannot be opened: {error}; is it a serial port?"),
    }
}

/// The group of a file.
#[cfg(unix)]
fn owner(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let id = std::fs::metadata(path).ok()?.gid();
    group(&std::fs::read_to_string("/etc/group").ok()?, id)
}

#[cfg(not(unix))]
fn owner(_: &Path) -> Option<String> {
    None
}

/// The name of a group in `/etc/group`. Everybody else's own says nothing about ports.
#[cfg(unix)]
fn group(groups: &str, id: u32) -> Option<String> {
    let line = groups
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.get(2).and_then(|id| id.parse().ok()) == Some(id))?;
    line.first()
        .filter(|name| **name != "root")
        .map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usb_port(name: &str, product: &str) -> SerialPortInfo {
        SerialPortInfo {
            port_name: name.into(),
            port_type: SerialPortType::UsbPort(UsbPortInfo {
                vid: 0x10c4,
                pid: 0xea60,
                serial_number: None,
                manufacturer: Some("Silicon Labs".into()),
                product: Some(product.into()),
            }),
        }
    }

    fn other_port() -> SerialPortInfo {
        SerialPortInfo {
            port_name: "/dev/ttyS0".into(),
            port_type: SerialPortType::PciPort,
        }
    }

    /// The firmware is written to whatever else is connected.
    #[test]
    fn only_one_usb_port_is_taken_without_asking() {
        let ports = [other_port(), usb_port("/dev/ttyUSB0", "CP2102")];
        let port = choose(None, &ports).unwrap();
        assert_eq!((&*port.name, port.usb.pid), ("/dev/ttyUSB0", 0xea60));

        let none = choose(None, &[]).unwrap_err();
        assert!(none.starts_with("no board is connected") && none.contains("--port"));
        let none = choose(None, &[other_port()]).unwrap_err();
        assert!(none.ends_with("; other ports are /dev/ttyS0"), "{none}");

        let ports = [
            usb_port("/dev/ttyUSB0", "CP2102"),
            usb_port("/dev/ttyUSB1", "CP2104"),
        ];
        assert_eq!(
            choose(None, &ports).unwrap_err(),
            "there are 2 serial ports at USB: name the board's with `--port`\n  \
             /dev/ttyUSB0  10c4:ea60 Silicon Labs, CP2102\n  \
             /dev/ttyUSB1  10c4:ea60 Silicon Labs, CP2104"
        );
    }

    /// A port that is named is not used, or reset in another port's way.
    #[test]
    fn a_named_port_is_taken() {
        let ports = [
            usb_port("/dev/ttyUSB0", "CP2102"),
            usb_port("/dev/ttyUSB1", "CP2104"),
        ];
        let port = choose(Some("/dev/ttyUSB1"), &ports).unwrap();
        assert_eq!(port.usb.product.as_deref(), Some("CP2104"));
        let port = choose(Some("/dev/ttyX"), &ports).unwrap();
        assert_eq!((&*port.name, port.usb), ("/dev/ttyX", NO_USB));
    }

    /// The words of the operating system, and nothing that helps.
    #[test]
    fn a_port_that_cannot_be_opened_is_explained() {
        let port = choose(Some("/dev/ttyUSB7"), &[]).unwrap();
        let said = |kind, ports: &[_]| unopened(&port, &serialport::Error::new(kind, "x"), ports);
        let not_found = ErrorKind::Io(std::io::ErrorKind::NotFound);
        assert_eq!(
            said(not_found, &[usb_port("/dev/ttyUSB0", "CP2102")]),
            "/dev/ttyUSB7: there is no such port; there are /dev/ttyUSB0"
        );
        let denied = said(ErrorKind::Io(std::io::ErrorKind::PermissionDenied), &[]);
        assert!(
            denied.contains("`sudo usermod -aG dialout $USER`"),
            "{denied}"
        );
        assert!(said(ErrorKind::NoDevice, &[]).contains("is in use"));
        assert!(said(ErrorKind::Unknown, &[]).contains("is it a serial port?"));
    }

    /// Another distribution's group, such as `uucp`.
    #[cfg(unix)]
    #[test]
    fn the_group_is_the_ports_own() {
        let groups = "root:x:0:\nuucp:x:986:me\nbroken\n";
        assert_eq!(group(groups, 986).as_deref(), Some("uucp"));
        assert_eq!(group(groups, 0), None);
        assert_eq!(group(groups, 5), None);
    }
}
