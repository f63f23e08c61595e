//! The README says what is so.

/// The first block of Rust in a text.
fn first_example(text: &str) -> String {
    let after = text.split_once("```rust\n").or_else(|| text.split_once("```\n")).expect("an example begins").1;
    after.split_once("```").expect("and ends").0.to_owned()
}

#[test]
fn its_quickstart_is_the_one_of_the_crate_page_which_runs() {
    let lib = include_str!("../src/lib.rs");
    let page: Vec<_> = lib.lines().map_while(|line| line.strip_prefix("//!")).collect();
    let page: String = page.iter().map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned() + "\n").collect();
    let shown: Vec<_> = first_example(&page).lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    let readme: Vec<_> = first_example(include_str!("../README.md")).lines().map(str::to_owned).collect();
    assert_eq!(readme, shown);
}

#[test]
fn its_limits_are_those_of_the_code() {
    assert_eq!(streamlog::NAME_BYTES_MAX, 1 << 10);
    assert_eq!(streamlog::RECORD_BYTES_MAX, 512 << 20);
    let orders = streamlog::Broker::in_memory().unwrap().stream("orders").unwrap();
    assert!(orders.add([("", vec![0; (16 << 20) - 5])]).is_ok(), "an entry: two lengths, of one byte and of four");
    assert!(orders.add([("", vec![0; (16 << 20) - 4])]).is_err());
}

#[test]
fn every_test_it_names_is_there() {
    let tests = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for name in include_str!("../README.md").split("`tests/").skip(1) {
        let name = name.split('`').next().unwrap();
        assert!(tests.join(name).exists(), "tests/{name} is not there");
    }
}
