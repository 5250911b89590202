//! Tables with several labels per image: empty fields, blank cells, spaces and numbers as labels.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod images;
mod listed;

use effnet_architecture::Task;
use effnet_data::{Evaluation, Splits};
use listed::{assert_says, home, notices, read, targets};

const IMAGES: [&str; 5] = ["a.bmp", "b.bmp", "c.bmp", "d.bmp", "e.bmp"];
const MULTI_LABEL: Option<Task> = Some(Task::MultiLabel);

#[test]
fn test_images_with_no_label_at_all_are_measured() {
    for table in [
        "path,labels,split\na.bmp,x;z,train\nb.bmp,z;x,val\nc.bmp,,test\nd.bmp,x,test\ne.bmp,,test\n",
        "path,x,z,split\na.bmp,1,1,train\nb.bmp,1,1,val\nc.bmp,0,0,test\nd.bmp,1,0,test\ne.bmp,0,0,test\n",
    ] {
        let root = home(&IMAGES, table);
        let path = root.path().join("list.csv");
        let test = Evaluation::open_test(&path, None, MULTI_LABEL).unwrap();
        assert_eq!(
            targets(root.path(), &*test.images),
            "c.bmp , d.bmp x, e.bmp ",
            "{table}"
        );
        let told = notices(&test.reading.notices, false);
        assert!(
            told.iter()
                .any(|notice| notice.starts_with("2 images without any label")),
            "{told:?}"
        );
    }
}

#[test]
fn test_images_of_which_none_has_a_label_are_not_labelled_yet() {
    // They need not be there, either.
    let table = "path,labels,split\na.bmp,x;z,train\nb.bmp,z,train\nc.bmp,,test\nmissing.bmp,,test\n";
    let root = home(&IMAGES, table);
    let splits = Splits::open_for(root.path().join("list.csv"), MULTI_LABEL).unwrap();
    assert!(splits.val.is_none());
    assert_eq!(
        notices(&splits.reading.notices, false),
        ["ignored: split = test (rows without a label: 2)"]
    );
}

#[test]
fn an_image_without_a_label_needs_the_task() {
    let found = read(&IMAGES, "image,labels\na.bmp,cat\nb.bmp,\n", MULTI_LABEL);
    assert_eq!(found.unwrap(), "a.bmp cat, b.bmp ");
    let found = read(&IMAGES, "image,cat,dog\na.bmp,1,0\nb.bmp,0,0\n", MULTI_LABEL);
    assert_eq!(found.unwrap(), "a.bmp cat, b.bmp ");
    let far: String = (0..300).map(|_| "a.bmp,1,0\n").collect();
    for (table, words) in [
        (
            "image,labels\na.bmp,cat\nb.bmp,\n".to_owned(),
            "\"b.bmp,\" on line 3",
        ),
        (
            "image,cat,dog\na.bmp,1,0\nb.bmp,0,0\n".to_owned(),
            "a column of labels",
        ),
        (
            format!("image,cat,dog\n{far}b.bmp,0,0\n"),
            "no class with a 1 on line 302",
        ),
    ] {
        for task in [None, Some(Task::Classify)] {
            assert_says(
                &read(&IMAGES, &table, task).unwrap_err(),
                &[words, "--task multilabel"],
            );
        }
    }
}
