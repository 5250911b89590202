//! Replays what the fuzzers keep: no input of the corpus makes its target panic.

use std::path::Path;

use fuzz_targets::TARGETS;

#[test]
fn every_input_of_the_corpus_is_survived() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (name, target) in TARGETS {
        let folder = corpus.join(name);
        let inputs = match std::fs::read_dir(&folder) {
            Ok(inputs) => inputs,
            Err(error) => panic!("{}: {error}", folder.display()),
        };
        let mut replayed = 0;
        for input in inputs {
            let path = match input {
                Ok(input) => input.path(),
                Err(error) => panic!("{}: {error}", folder.display()),
            };
            match std::fs::read(&path) {
                Ok(bytes) => target(&bytes),
                Err(error) => panic!("{}: {error}", path.display()),
            }
            replayed += 1;
        }
        assert!(replayed > 0, "{} has no inputs", folder.display());
    }
}
