//! Texts as wide as a terminal.

/// A percent sign stays with its number.
const PERCENT: &str = "\u{a0}%";

/// Columns of a label.
const LABEL: usize = 10;

/// Rows with a label, or with an empty one at the left margin; the rest of a row stands below its beginning.
pub fn rows(rows: &[(&str, String)], width: usize) -> String {
    let lines = rows.iter().map(|(label, text)| match label.is_empty() {
        true => lines(text, width).join("\n"),
        false => {
            let indent = format!("\n{:LABEL$}  ", "");
            format!("{label:>LABEL$}  {}", lines(text, width.saturating_sub(LABEL + 2)).join(&indent))
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A text in lines that are as wide at most, unless a single word is wider.
fn lines(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        lines.push(String::new());
        for word in line.replace(" %", PERCENT).split(' ') {
            let last = lines.last_mut().expect("one was just added");
            if last.is_empty() {
                last.push_str(word);
            } else if last.chars().count() + 1 + word.chars().count() <= width {
                last.push(' ');
                last.push_str(word);
            } else {
                lines.push(word.to_owned());
            }
        }
    }
    lines.into_iter().map(|line| line.replace(PERCENT, " %")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_the_terminal_and_no_word_is_lost() {
        let text = "crash 8420, partition 6386, a-word-that-is-wider-than-the-terminal-is, pause 2915";
        let told = rows(&[("", text.into()), ("faults", text.into())], 30);
        for line in told.lines() {
            assert!(line.chars().count() <= 30 || line.contains("a-word"), "{line}");
        }
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&told), words(&format!("{text} faults {text}")));
        assert_eq!(rows(&[("a", "b c".into())], 13), "         a  b\n            c");
    }

    #[test]
    fn a_percent_sign_stays_with_its_number() {
        assert_eq!(lines("one 5 %, two", 6), ["one", "5 %,", "two"]);
    }

    #[test]
    fn what_fits_stays_on_one_line_and_lines_stay_apart() {
        assert_eq!(lines("one two", 7), ["one two"]);
        assert_eq!(lines("one two", 6), ["one", "two"]);
        assert_eq!(lines("one\ntwo", 80), ["one", "two"]);
    }
}
