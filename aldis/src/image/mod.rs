//! `aldis image`: a firmware and its configuration as one file.

pub mod compose;
pub mod firmware;
pub mod settings;
pub mod target;

mod file;

pub use file::NewFile;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aldis_flash::{Chip, layout};
use serde_json::{Value, json};

use settings::{Settings, describe};
use target::Target;

/// Make a file for a board's flash: bootloader, firmware and configuration
///
/// The file begins at the beginning of the flash and ends with the application. What the device
/// keeps lies behind it, and stays. For `virt` it is the flash of QEMU's machine; if the file is
/// there already, only the configuration in it is replaced.
///
/// The file contains the passwords of the configuration; only its owner may read it.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    aldis image --chip esp32 --firmware aldis-esp --config device.toml -o device.bin\n  \
    aldis image --chip esp32c3 --config device.toml --config-only -o config.bin\n  \
    aldis image --chip virt --config device.toml -o flash.img\n\n\
    `aldis flash --image device.bin` writes it to a board; so does\n  \
    esptool write_flash 0 device.bin")]
pub struct Args {
    /// What it is for
    #[arg(long, value_name = "CHIP", value_parser = Target::parser())]
    chip: Target,
    /// The firmware, as `cargo build` made it (an ELF file); `virt` has none
    #[arg(long, value_name = "ELF", conflicts_with = "config_only")]
    firmware: Option<PathBuf>,
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Make the partition of the configuration only
    #[arg(long)]
    config_only: bool,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Writes the file.
pub fn run(args: Args) -> ExitCode {
    let firmware = match (args.chip, &args.firmware, args.config_only) {
        (Target::Chip(_), None, false) => {
            return crate::usage(
                "image",
                "the firmware is missing: name it with `--firmware ELF`, or make the \
                 configuration alone with `--config-only`",
            );
        }
        (Target::Virt, Some(_), _) => {
            return crate::usage(
                "image",
                "`virt` has no firmware in its flash: leave out `--firmware`, and give it to QEMU \
                 with `-bios`",
            );
        }
        (Target::Chip(chip), Some(path), false) => Some((chip, path.as_path())),
        _ => None,
    };
    match make(&args, firmware) {
        Ok(made) => report(&made, &args),
        Err(what) => crate::fail(what),
    }
}

/// What was made.
struct Made {
    settings: Settings,
    /// The application's length.
    application: Option<usize>,
    /// The file's length.
    len: u64,
    /// It was there, and has a new configuration now.
    was_there: bool,
}

/// Reads a configuration and a firmware, and tells all that is wrong with either; warns about
/// what is odd.
pub fn read(
    config: &Path,
    target: Target,
    firmware: Option<(Chip, &Path)>,
) -> Result<(Settings, Option<firmware::Image>), String> {
    let settings = Settings::read(config, target);
    let image = firmware.map(|(chip, path)| firmware::read(path, chip));
    match (settings, image.transpose()) {
        (Ok(settings), Ok(image)) => {
            for warning in &settings.warnings {
                // Standard error may be gone.
                let _ = writeln!(io::stderr(), "aldis: warning: {warning}");
            }
            Ok((settings, image))
        }
        (Err(one), Err(other)) => Err(format!("{one}\n{other}")),
        (Err(what), _) | (_, Err(what)) => Err(what),
    }
}

fn make(args: &Args, firmware: Option<(Chip, &Path)>) -> Result<Made, String> {
    let (settings, image) = read(&args.config, args.chip, firmware)?;
    let output = &args.output;
    spare(args, firmware.map(|(_, path)| path))?;
    let mut was_there = false;
    let len = match (firmware, &image, args.config_only) {
        (Some((chip, _)), Some(image), _) => {
            let flash = compose::whole(chip, image, &settings.record)?;
            file::replace(output, &flash)?;
            flash.len() as u64
        }
        (_, _, true) => {
            let partition = compose::config(args.chip, &settings.record);
            file::replace(output, &partition)?;
            partition.len() as u64
        }
        _ => {
            was_there = virt(output, &settings.record)?;
            layout::virt::FLASH_LEN.into()
        }
    };
    Ok(Made {
        settings,
        application: image.map(|image| image.application.len()),
        len,
        was_there,
    })
}

/// Refuses to write over what is none of ours.
fn spare(args: &Args, firmware: Option<&Path>) -> Result<(), String> {
    let output = args.output.display();
    let same = |path: &Path| {
        let (ours, theirs) = (fs::canonicalize(&args.output), fs::canonicalize(path));
        matches!((ours, theirs), (Ok(ours), Ok(theirs)) if ours == theirs)
    };
    let inputs = [
        (Some(&*args.config), "configuration"),
        (firmware, "firmware"),
    ];
    for (path, what) in inputs {
        if path.is_some_and(same) {
            return Err(format!(
                "{output}: is the {what} itself: name another file with `--output`"
            ));
        }
    }
    if args.chip == Target::Virt && !args.config_only {
        // Its length tells.
        return Ok(());
    }
    // What cannot be read is told when it cannot be written.
    let Ok(there) = fs::read(&args.output) else {
        return Ok(());
    };
    let ours = match args.config_only {
        true => there.starts_with(b"ALDS"),
        false => compose::find(&there).is_ok(),
    };
    if ours || there.is_empty() {
        return Ok(());
    }
    let what = match args.config_only {
        true => "configuration for a board's flash",
        false => "image of a board's flash",
    };
    Err(format!(
        "{output}: is there and is no {what}: name another file with `--output`, or delete this \
         one"
    ))
}

/// Makes the flash of QEMU's machine, or replaces the configuration in it; says which.
fn virt(output: &Path, record: &[u8]) -> Result<bool, String> {
    match file::len(output)? {
        None => {
            file::replace(output, &compose::virt(record))?;
            Ok(false)
        }
        Some(len) if len == u64::from(layout::virt::FLASH_LEN) => {
            let partition = layout::virt::CONFIG;
            let config = compose::config(Target::Virt, record);
            file::overwrite(output, partition.offset, &config)?;
            Ok(true)
        }
        Some(len) => Err(format!(
            "{}: is there and has {len} bytes, but QEMU's flash has {}: name another file with \
             `--output`, or delete this one",
            output.display(),
            layout::virt::FLASH_LEN
        )),
    }
}

fn report(made: &Made, args: &Args) -> ExitCode {
    let text = match args.json {
        true => format!("{}\n", object(made, args)),
        false => words(made, args),
    };
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody wants to know (`| head`).
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => crate::fail(format_args!("cannot write what was made: {error}")),
    }
}

fn words(made: &Made, args: &Args) -> String {
    let (settings, chip, output) = (&made.settings, args.chip, args.output.display());
    let mut lines = vec![format!("chip: {chip}")];
    if let Some(len) = made.application {
        lines.push(format!("application: {}", of_slot(len)));
    }
    let (id, ssid) = (settings.id.as_deref(), settings.ssid.as_deref());
    let ssid = ssid.filter(|_| chip != Target::Virt);
    let config = describe(id, ssid, &settings.broker);
    lines.push(format!("configuration: {config}"));
    lines.push(match made.was_there {
        true => format!(
            "written: {output}, the configuration, for when QEMU starts anew; what the device \
             keeps stays"
        ),
        false => format!("written: {output}, {} bytes", made.len),
    });
    let offset = chip.config().offset;
    lines.push(match (chip, args.config_only) {
        (Target::Chip(_), false) => {
            format!("next: aldis flash --port /dev/ttyUSB0 --image {output}")
        }
        (Target::Chip(_), true) => format!(
            "next: esptool --port /dev/ttyUSB0 write-flash {offset:#x} {output}; or all at once: \
             aldis flash --config-only --config {}",
            args.config.display()
        ),
        // With `-kernel` in place of `-bios`, QEMU 7 starts what is in the flash.
        (Target::Virt, false) => format!(
            "next: qemu-system-riscv32 -machine virt -m 16M -nographic \
             -device virtio-net-device,netdev=n0 -netdev user,id=n0 \
             -drive if=pflash,unit=1,format=raw,file={output} -bios \
             boards/virt/target/riscv32imac-unknown-none-elf/release/aldis-virt \
             (Ctrl-A X ends it)"
        ),
        (Target::Virt, true) => {
            format!("next: it is the beginning of the flash of QEMU's machine ({offset:#x})")
        }
    });
    lines.join("\n") + "\n"
}

/// How large an application is.
pub fn of_slot(len: usize) -> String {
    let percent = (len * 100).div_ceil(layout::OTA_0.len as usize);
    format!("{len} bytes, {percent} % of its slot")
}

fn object(made: &Made, args: &Args) -> Value {
    let settings = &made.settings;
    json!({
        "event": "written",
        "chip": args.chip.as_str(),
        "application": made.application,
        "slot": made.application.map(|_| layout::OTA_0.len),
        "id": settings.id,
        "ssid": settings.ssid,
        "broker": settings.broker,
        "file": args.output.display().to_string(),
        "size": made.len,
    })
}
