//! Questions on the terminal, one line each. Asked only where a person is known to be there.

use crate::error::{Error, Result};

/// One line from the terminal; the default for an empty one.
pub(super) fn ask(what: &str, usual: Option<&str>) -> Result<String> {
    loop {
        match usual {
            Some(usual) => eprint!("{what} [{usual}]: "),
            None => eprint!("{what}: "),
        }
        let mut line = String::new();
        let read = std::io::stdin().read_line(&mut line);
        let answer = line.trim();
        match (read, answer, usual) {
            (Ok(0) | Err(_), ..) => return Err(Error::Unanswered { question: format!("{what}?") }),
            (Ok(_), "", Some(usual)) => return Ok(usual.to_owned()),
            (Ok(_), "", None) => {}
            (Ok(_), answer, _) => return Ok(answer.to_owned()),
        }
    }
}

pub(super) fn agreed(what: &str, usual: bool) -> Result<bool> {
    let answer = ask(what, Some(if usual { "Y/n" } else { "y/N" }))?;
    Ok(match answer.as_str() {
        "y" | "Y" | "yes" => true,
        "n" | "N" | "no" => false,
        _ => usual,
    })
}
