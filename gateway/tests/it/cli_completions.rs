//! The scripts of `adjutant completions`, given to the shells that are here.

use std::process::{Command, Stdio};

use super::binary::{Home, adjutant, output};

fn is_here(shell: &str) -> bool {
    Command::new(shell).args(["-c", "exit 0"]).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

#[tokio::test]
async fn every_shell_reads_its_script_also_when_the_settings_are_wrong() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let mut command = adjutant(&home, &["completions", shell]);
        command.env("ADJUTANT_LISTEN", "nowhere");
        let (code, script, talk) = output(command).await;
        assert_eq!((code, talk.as_str()), (0, ""), "{shell}");
        for word in ["doctor", "chat", "key-file", "completions"] {
            assert!(script.contains(word), "{shell} knows {word}");
        }
        let file = home.path().join(shell);
        std::fs::write(&file, &script).unwrap();
        if !is_here(shell) {
            println!("{shell} is not here: its script was made but not read");
            continue;
        }
        let read = Command::new(shell).arg("-n").arg(&file).output().unwrap();
        assert!(read.status.success() && read.stderr.is_empty(), "{shell}: {}", String::from_utf8_lossy(&read.stderr));
    }
}

#[tokio::test]
async fn bash_completes_commands_and_options() {
    let home = Home::new();
    let (_, script, _) = output(adjutant(&home, &["completions", "bash"])).await;
    let file = home.path().join("script");
    std::fs::write(&file, script).unwrap();
    for (line, expected) in [("adjutant doc", "doctor"), ("adjutant chat --key", "--key-file")] {
        let words: Vec<&str> = line.split(' ').collect();
        let ask = format!(
            "source {}; COMP_WORDS=({line}); COMP_CWORD={}; _adjutant adjutant {} {}; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            file.display(),
            words.len() - 1,
            words[words.len() - 1],
            words[words.len() - 2],
        );
        let answer = Command::new("bash").args(["-c", &ask]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&answer.stdout).trim(), expected, "{line}");
    }
}

#[tokio::test]
async fn an_unknown_shell_is_wrong_usage() {
    let (code, _, talk) = output(adjutant(&Home::new(), &["completions", "tcsh"])).await;
    assert_eq!(code, 2);
    assert!(talk.contains("bash, zsh, fish"), "{talk}");
}
