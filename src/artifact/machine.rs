//! What a compiled file was built for, read from its own headers: ELF, Mach-O, PE. Judges nothing, and takes no byte
//! of it on trust: a damaged file is one that says nothing.

/// What one compiled file runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Built {
    /// `linux`, `darwin`, `win32`.
    pub os: &'static str,
    /// As node names them: `x64`, `arm64` ...; a fat Mach-O file has several, an unknown one none.
    pub archs: Vec<&'static str>,
    /// The C library it is linked with; none: it needs none, or is not of Linux.
    pub libc: Option<Libc>,
}

/// A C library of Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Libc {
    /// With the highest version whose symbols are needed.
    Glibc(u32, u32),
    /// Any version.
    Musl,
}

/// Reads the headers of `file`; none where it is no program or library.
pub(super) fn read(file: &[u8]) -> Option<Built> {
    match file.get(..4)? {
        b"\x7fELF" => elf(file),
        [b'M', b'Z', ..] => pe(file),
        [0xcf, 0xfa, 0xed, 0xfe] | [0xce, 0xfa, 0xed, 0xfe] => {
            let arch = mach_arch(Bytes { file, big: false }.number(4, 4)?);
            Some(Built { os: "darwin", archs: arch.into_iter().collect(), libc: None })
        }
        [0xca, 0xfe, 0xba, 0xbe] => fat(file),
        _ => None,
    }
}

/// A fat file: a list of architectures. Java's classes begin alike; their next number is a version above 40.
fn fat(file: &[u8]) -> Option<Built> {
    let bytes = Bytes { file, big: true };
    let n = usize::try_from(bytes.number(4, 4)?).ok().filter(|n| (1..40).contains(n))?;
    let archs = (0..n).filter_map(|i| mach_arch(bytes.number(8 + i * 20, 4)?)).collect();
    Some(Built { os: "darwin", archs, libc: None })
}

fn mach_arch(cpu: u64) -> Option<&'static str> {
    match cpu {
        0x0100_0007 => Some("x64"),
        0x0100_000c => Some("arm64"),
        7 => Some("ia32"),
        _ => None,
    }
}

fn pe(file: &[u8]) -> Option<Built> {
    let bytes = Bytes { file, big: false };
    let at = usize::try_from(bytes.number(0x3c, 4)?).ok()?;
    if file.get(at..at.checked_add(4)?)? != b"PE\0\0" {
        return None;
    }
    let arch = match bytes.number(at + 4, 2)? {
        0x8664 => Some("x64"),
        0xaa64 => Some("arm64"),
        0x14c => Some("ia32"),
        _ => None,
    };
    Some(Built { os: "win32", archs: arch.into_iter().collect(), libc: None })
}

/// Numbers at places of a file, in its own byte order.
#[derive(Clone, Copy)]
struct Bytes<'a> {
    file: &'a [u8],
    big: bool,
}

impl<'a> Bytes<'a> {
    fn number(&self, at: usize, size: usize) -> Option<u64> {
        let bytes = self.file.get(at..at.checked_add(size)?)?;
        let add = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
        Some(if self.big { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) })
    }

    /// The text at a place, up to its NUL.
    fn text(&self, at: usize) -> Option<&'a str> {
        let rest = self.file.get(at..)?;
        std::str::from_utf8(&rest[..rest.iter().position(|&byte| byte == 0)?]).ok()
    }
}

/// One part of an ELF file, as its program header tells: kind, place in the file, place in memory, size.
type Part = (u64, usize, u64, u64);

struct Elf<'a> {
    bytes: Bytes<'a>,
    wide: bool,
    parts: Vec<Part>,
}

fn elf(file: &[u8]) -> Option<Built> {
    let bytes = Bytes { file, big: file.get(5)? == &2 };
    let wide = file.get(4)? == &2;
    // Other systems with ELF mark their files; Linux mostly doesn't.
    let os = match file.get(7)? {
        0 | 3 => "linux",
        9 => "freebsd",
        12 => "openbsd",
        6 => "sunos",
        _ => "other",
    };
    let arch = match (bytes.number(18, 2)?, wide, bytes.big) {
        (62, true, _) => Some("x64"),
        (183, ..) => Some("arm64"),
        (40, ..) => Some("arm"),
        (3, ..) => Some("ia32"),
        (243, true, _) => Some("riscv64"),
        (21, ..) => Some("ppc64"),
        (22, ..) => Some("s390x"),
        (258, ..) => Some("loong64"),
        _ => None,
    };
    let elf = Elf { bytes, wide, parts: parts(bytes, wide).unwrap_or_default() };
    Some(Built { os, archs: arch.into_iter().collect(), libc: elf.libc().filter(|_| os == "linux") })
}

fn parts(bytes: Bytes<'_>, wide: bool) -> Option<Vec<Part>> {
    let (table, size, count) = if wide { (32, 54, 56) } else { (28, 42, 44) };
    let table = usize::try_from(bytes.number(table, if wide { 8 } else { 4 })?).ok()?;
    let size = usize::try_from(bytes.number(size, 2)?).ok()?;
    let count = usize::try_from(bytes.number(count, 2)?).ok()?;
    let part = |i: usize| {
        let at = table.checked_add(i * size)?;
        let word = if wide { 8 } else { 4 };
        let field = |narrow: usize, wide_at: usize| bytes.number(at + if wide { wide_at } else { narrow }, word);
        Some((bytes.number(at, 4)?, usize::try_from(field(4, 8)?).ok()?, field(8, 16)?, field(16, 32)?))
    };
    (0..count).map(part).collect()
}

impl Elf<'_> {
    /// The place in the file of what is loaded at `address`.
    fn place(&self, address: u64) -> Option<usize> {
        let loaded = |part: &&Part| part.0 == 1 && (part.2..part.2.saturating_add(part.3)).contains(&address);
        let (_, at, start, _) = self.parts.iter().find(loaded)?;
        at.checked_add(usize::try_from(address - start).ok()?)
    }

    fn libc(&self) -> Option<Libc> {
        let interpreter =
            self.parts.iter().find(|part| part.0 == 3).and_then(|part| self.bytes.text(part.1)).unwrap_or_default();
        let dynamic = self.dynamic();
        let value = |tag: u64| dynamic.iter().find(|(found, _)| *found == tag).map(|(_, value)| *value);
        let strings = value(5).and_then(|at| self.place(at));
        let needed: Vec<&str> = dynamic
            .iter()
            .filter(|(tag, _)| *tag == 1)
            .filter_map(|(_, at)| self.bytes.text(strings?.checked_add(usize::try_from(*at).ok()?)?))
            .collect();
        if interpreter.contains("ld-musl")
            || needed.iter().any(|name| name.starts_with("libc.musl") || *name == "libc.so")
        {
            return Some(Libc::Musl);
        }
        let (major, minor) = self.glibc(value(0x6fff_fffe), strings).unwrap_or_default();
        let linked = needed.contains(&"libc.so.6") || interpreter.contains("ld-linux") || major > 0;
        linked.then_some(Libc::Glibc(major, minor))
    }

    /// Tags and values of the dynamic section.
    fn dynamic(&self) -> Vec<(u64, u64)> {
        let Some((_, at, _, size)) = self.parts.iter().find(|part| part.0 == 2) else { return Vec::new() };
        let word = if self.wide { 8 } else { 4 };
        let most = usize::try_from(*size).unwrap_or(0) / (2 * word);
        let entry = |i: usize| {
            let at = at + i * 2 * word;
            Some((self.bytes.number(at, word)?, self.bytes.number(at + word, word)?))
        };
        (0..most).map_while(entry).take_while(|(tag, _)| *tag != 0).collect()
    }

    /// The highest `GLIBC_x.y` among the needed versions; a weak need is none.
    fn glibc(&self, table: Option<u64>, strings: Option<usize>) -> Option<(u32, u32)> {
        let (mut file, strings) = (self.place(table?)?, strings?);
        let mut highest = None;
        // Bounded, since the offsets of a damaged file may lead in a circle.
        for _ in 0..1000 {
            let mut version = file.checked_add(usize::try_from(self.bytes.number(file + 8, 4)?).ok()?)?;
            for _ in 0..self.bytes.number(file + 2, 2)? {
                let name = usize::try_from(self.bytes.number(version + 8, 4)?).ok()?;
                let weak = self.bytes.number(version + 4, 2)? & 2 != 0;
                let named = self.bytes.text(strings.checked_add(name)?)?.strip_prefix("GLIBC_");
                if let Some(found) = named.and_then(two).filter(|_| !weak) {
                    highest = highest.max(Some(found));
                }
                version = version.checked_add(usize::try_from(self.bytes.number(version + 12, 4)?).ok()?)?;
            }
            match self.bytes.number(file + 12, 4)? {
                0 => break,
                next => file = file.checked_add(usize::try_from(next).ok()?)?,
            }
        }
        highest
    }
}

/// The first two numbers of a version.
pub(super) fn two(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_program_is_read_as_what_it_is() {
        let built = read(&std::fs::read(std::env::current_exe().unwrap()).unwrap()).unwrap();
        assert_eq!(built.os, std::env::consts::OS.replace("macos", "darwin"));
        let arch = match std::env::consts::ARCH {
            "x86_64" => "x64",
            "aarch64" => "arm64",
            other => other,
        };
        assert_eq!(built.archs, [arch]);
        let glibc = matches!(built.libc, Some(Libc::Glibc(2, minor)) if minor > 10);
        assert!(glibc || cfg!(not(target_env = "gnu")), "{:?}", built.libc);
    }

    #[test]
    fn other_systems_are_told_by_their_first_bytes() {
        let mach = [[0xcf, 0xfa, 0xed, 0xfe], [0x0c, 0, 0, 1]].concat();
        assert_eq!(read(&mach), Some(Built { os: "darwin", archs: vec!["arm64"], libc: None }));
        let mut fat = vec![0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2];
        fat.extend([&[1, 0, 0, 7][..], &[0; 16], &[1, 0, 0, 12], &[0; 16]].concat());
        assert_eq!(read(&fat), Some(Built { os: "darwin", archs: vec!["x64", "arm64"], libc: None }));
        let mut pe = vec![0; 0x48];
        pe[..2].copy_from_slice(b"MZ");
        pe[0x3c] = 0x40;
        pe[0x40..0x46].copy_from_slice(b"PE\0\0\x64\x86");
        assert_eq!(read(&pe), Some(Built { os: "win32", archs: vec!["x64"], libc: None }));
    }

    #[test]
    fn what_is_cut_or_no_program_says_nothing_and_never_panics() {
        let whole = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for end in (0..4096.min(whole.len())).chain([whole.len() / 2]) {
            let _ = read(&whole[..end]);
        }
        for text in [&b""[..], b"#!/bin/sh\n", b"\xca\xfe\xba\xbe\0\0\0\x34", b"\x7fELF", b"MZ"] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
