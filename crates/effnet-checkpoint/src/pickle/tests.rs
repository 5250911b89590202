//! Valid pickles and malicious ones.

use super::load;
use crate::budget::Budget;

fn few() -> Budget {
    Budget::for_instructions(10_000)
}

#[test]
fn nothing_is_called_but_everything_called_is_named() {
    let budget = few();
    let graph = load(b"cos\nsystem\n(S'echo hello'\ntR.", &budget).unwrap();
    assert!(graph.called().iter().eq(["os.system"]));
}

#[test]
fn a_list_that_holds_itself_is_read() {
    let budget = few();
    let graph = load(b"]q\0h\0a.", &budget).unwrap();
    assert_eq!(graph.sequence(graph.root), Some(&[graph.root][..]));
}

#[test]
fn a_million_nested_tuples_neither_overflow_the_stack_nor_pass_the_limit() {
    let mut nested = vec![b')'];
    nested.resize(1_000_000, 0x85);
    nested.push(b'.');
    assert!(load(&nested, &Budget::for_instructions(1_500_000)).is_ok());
    let error = load(&nested, &few()).unwrap_err();
    assert!(error.what.contains("instructions"), "{error:?}");
}

#[test]
fn a_length_beyond_the_end_is_refused_before_anything_is_allocated() {
    for pickle in [
        &b"X\xff\xff\xff\xff"[..],
        b"\x8b\xff\xff\xff\x7f",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        assert!(load(pickle, &few()).unwrap_err().truncated);
    }
}

#[test]
fn values_below_an_open_mark_are_out_of_reach() {
    assert!(load(b"K\x01(\x85.", &few()).is_err());
    assert!(load(b"(.", &few()).is_err());
    assert!(load(b"K\x01(0.", &few()).is_ok());
}
