//! A plan as people read it.

use std::fmt;

use super::Plan;

/// What stands before the second and every further line of a step.
pub(super) const INDENT: &str = "                  ";

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        for (number, planned) in self.steps.iter().enumerate() {
            let step = planned.step;
            let how = match &planned.skip {
                Some(why) => format!("skipped: {why}"),
                None => planned.how.clone(),
            };
            let undo = step.undo().sentence();
            write!(f, "{:>2}  {:<13} {how}", number + 1, step.word())?;
            if !undo.is_empty() && planned.skip.is_none() {
                write!(f, "\n{INDENT}{undo}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
