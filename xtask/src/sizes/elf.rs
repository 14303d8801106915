//! What is in a firmware's ELF file.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Result, ensure};
use object::elf::SHF_ALLOC;
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SymbolKind};

/// How many functions are named.
const FUNCTIONS: usize = 5;
/// The names of the heap's regions: `esp_alloc::heap_allocator!` makes a static `HEAP` where it
/// is called, which is `start` in boards/esp/src/memory.rs. One region lies in `.dram2_uninit`,
/// the memory that the bootloader leaves, and one in `.bss`.
const HEAP: &str = "::memory::start::HEAP";
/// The name of the static in which embassy keeps a task's state, behind the name of the task.
const TASK: &str = "::POOL";
/// What the linker leaves for the stack. It is no data, but a section.
const STACK: &str = ".stack";

/// What was found, in bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Contents {
    /// What is loaded from the file: code, constants and the first values of data.
    pub loaded: u64,
    /// What is in RAM all the time: data, and code that lies there; without heap and stack.
    pub fixed: u64,
    /// Every region of the heap.
    pub heap: u64,
    /// The largest task; it is a part of what is in RAM all the time.
    pub task: Function,
    /// The largest functions, the largest first.
    pub functions: Vec<Function>,
}

/// A function or a task, with its size in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    pub size: u64,
}

/// A section that has an address when the program runs.
struct Section<'a> {
    name: &'a str,
    address: u64,
    size: u64,
    /// Its bytes are in the file.
    is_loaded: bool,
}

/// A symbol with a size.
struct Symbol {
    /// Demangled, without the hash.
    name: String,
    address: u64,
    size: u64,
    is_code: bool,
}

/// Reads a file whose RAM is there.
pub fn read(elf: &[u8], ram: &Range<u64>) -> Result<Contents> {
    let file = object::File::parse(elf)?;
    let mut sections = Vec::new();
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else {
            continue;
        };
        if sh_flags.0 & SHF_ALLOC.0 != 0 {
            sections.push(Section {
                name: section.name()?,
                address: section.address(),
                size: section.size(),
                is_loaded: section.file_range().is_some(),
            });
        }
    }
    let symbols = file.symbols().filter(|symbol| symbol.size() > 0);
    let symbols: Vec<_> = symbols
        .filter_map(|symbol| {
            Some(Symbol {
                name: format!("{:#}", rustc_demangle::demangle(symbol.name().ok()?)),
                address: symbol.address(),
                size: symbol.size(),
                is_code: symbol.kind() == SymbolKind::Text,
            })
        })
        .collect();
    ensure!(
        !symbols.is_empty(),
        "the firmware has no symbols: build it without `strip`"
    );
    Ok(count(&sections, &symbols, ram))
}

/// Code in RAM counts by its section there. Where code and data have different addresses for the
/// same memory, as on the C3, esp-hal's linker script has `.rwdata_dummy` among the data, which is
/// as large as the code.
fn count(sections: &[Section<'_>], symbols: &[Symbol], ram: &Range<u64>) -> Contents {
    let is_heap = |symbol: &&Symbol| symbol.name.ends_with(HEAP);
    let heap = symbols.iter().filter(is_heap).map(|heap| heap.size).sum();
    let loaded = sections.iter().filter(|section| section.is_loaded);
    let in_ram = sections
        .iter()
        .filter(|section| ram.contains(&section.address) && section.name != STACK);
    let in_ram: u64 = in_ram.map(|section| section.size).sum();
    let tasks = symbols
        .iter()
        .filter_map(|symbol| Some((symbol.size, symbol.name.strip_suffix(TASK)?)));
    let (size, name) = tasks.max().unwrap_or_default();
    Contents {
        loaded: loaded.map(|section| section.size).sum(),
        fixed: in_ram.saturating_sub(heap),
        heap,
        task: Function {
            name: shortened(name),
            size,
        },
        functions: largest(symbols),
    }
}

/// The largest functions. One that has several names is named once.
fn largest(symbols: &[Symbol]) -> Vec<Function> {
    let code = symbols.iter().filter(|symbol| symbol.is_code);
    let code: BTreeMap<_, _> = code.map(|symbol| (symbol.address, symbol)).collect();
    let mut code: Vec<_> = code.into_values().collect();
    code.sort_by_key(|symbol| std::cmp::Reverse(symbol.size));
    let largest = code.into_iter().take(FUNCTIONS);
    largest
        .map(|symbol| Function {
            name: shortened(&symbol.name),
            size: symbol.size,
        })
        .collect()
}

/// A name without what the compiler and macros put into it: `crate::function`.
fn shortened(name: &str) -> String {
    let is_said = |part: &&str| !part.starts_with("{{") && !part.starts_with("__");
    let parts: Vec<_> = name.split("::").collect();
    let said: Vec<_> = parts.iter().copied().filter(is_said).collect();
    // A function that a macro made is named by its last part that is one.
    let made = parts.iter().rfind(|part| !part.starts_with("{{"));
    match (said.as_slice(), made) {
        ([only], Some(made)) if made != only => {
            format!("{only}::{}", made.trim_start_matches('_'))
        }
        _ => said.join("::"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(name: &'static str, address: u64, size: u64, is_loaded: bool) -> Section<'static> {
        Section {
            name,
            address,
            size,
            is_loaded,
        }
    }

    fn symbol(name: &str, address: u64, size: u64, is_code: bool) -> Symbol {
        Symbol {
            name: name.into(),
            address,
            size,
            is_code,
        }
    }

    const RAM: Range<u64> = 0x2000..0x9000;

    /// A section that is forgotten, or the stack that is taken for data.
    #[test]
    fn what_lies_in_ram_is_counted_without_stack_and_heap() {
        let sections = [
            section(".text", 0x1_0000, 0x500, true),
            section(".rwtext", 0xa000, 0x100, true),
            section(".rwdata_dummy", 0x2000, 0x100, false),
            section(".data", 0x2100, 0x40, true),
            section(".bss", 0x2140, 0x1_400, false),
            section(STACK, 0x3540, 0x4000, false),
            section(".dram2_uninit", 0x8000, 0x800, false),
        ];
        let symbols = [
            symbol("aldis_esp::memory::start::HEAP", 0x8000, 0x800, false),
            symbol("aldis_esp::memory::start::HEAP", 0x2200, 0x1000, false),
            symbol("esp_alloc::HEAP", 0x3200, 0x80, false),
            symbol("aldis_esp::run_radio::POOL", 0x3300, 0x20, false),
            symbol("aldis_esp::__main::__device::POOL", 0x3340, 0x60, false),
            symbol("SPOOL", 0x3400, 0x100, false),
        ];
        let contents = count(&sections, &symbols, &RAM);
        assert_eq!(contents.loaded, 0x640);
        assert_eq!(contents.heap, 0x1800);
        assert_eq!(contents.fixed, 0x100 + 0x40 + 0x400);
        assert_eq!(
            (&*contents.task.name, contents.task.size),
            ("aldis_esp::device", 0x60)
        );
        assert_eq!(contents.functions, []);
    }

    /// A firmware without heap and tasks is none that cannot be measured.
    #[test]
    fn what_is_not_there_is_nothing() {
        let contents = count(&[], &[], &RAM);
        assert_eq!(
            (contents.fixed, contents.heap, contents.task.size),
            (0, 0, 0)
        );
    }

    /// One function with two names would hide another.
    #[test]
    fn the_largest_functions_come_first_and_once() {
        let mut symbols: Vec<_> = (1..9)
            .map(|size| symbol(&format!("f{size}"), 0x100 * size, size, true))
            .collect();
        symbols.push(symbol("alias", 0x800, 8, true));
        symbols.push(symbol("data", 0x2000, 100, false));
        let sizes: Vec<_> = largest(&symbols).iter().map(|one| one.size).collect();
        assert_eq!(sizes, [8, 7, 6, 5, 4]);
    }

    /// A name that says nothing but where macros are.
    #[test]
    fn names_are_short_and_still_names() {
        for (name, short) in [
            ("main", "main"),
            ("smoltcp::iface::dispatch_ip", "smoltcp::iface::dispatch_ip"),
            ("aldis::run::{{closure}}::{{closure}}", "aldis::run"),
            (
                "a::__main::____b_task::____b_inner::{{closure}}",
                "a::b_inner",
            ),
            ("a::__main::__b", "a::b"),
        ] {
            assert_eq!(shortened(name), short);
        }
    }

    /// Sections and symbols are found in a real file: this test's own program.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_program_can_be_read() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let contents = read(&program, &(0..0)).unwrap();
        assert!(contents.loaded > 100_000);
        assert_eq!(contents.fixed, 0);
        assert_eq!(contents.functions.len(), FUNCTIONS);
        assert!(read(b"no program", &RAM).is_err());
    }
}
