//! What a user should know about a table: what was not used, and what looks like a mistake.

use super::Table;
use super::columns::{Columns, Label};
use crate::error::NameList;
use crate::notice::Notice;
use crate::role::Role;

impl Table {
    pub(super) fn collect_notices(&self, columns: &Columns) -> Vec<Notice> {
        let mut notices = Vec::new();
        if !columns.ignored.names().is_empty() {
            notices.push(Notice::IgnoredColumns {
                columns: columns.ignored.clone(),
            });
        }
        if let Label::OneHot(classes) = &columns.label {
            let found = self.targets.found(None, false);
            let unused = classes
                .iter()
                .filter(|(_, class)| !self.listed.has_label(class) && !found.contains(class));
            let unused: NameList = unused.map(|(_, class)| class.clone()).collect();
            if !unused.names().is_empty() {
                notices.push(Notice::EmptyColumns { columns: unused });
            }
        }
        notices.extend(self.unused_parts());
        let (unused, part) = self.waiting.unused();
        if unused > 0 {
            notices.push(Notice::Ignored {
                name: part.to_owned(),
                reason: format!("rows without a label: {unused}"),
            });
        }
        notices.extend(self.listed.notices());
        notices.extend(self.target_notices());
        notices
    }

    fn target_notices(&self) -> Vec<Notice> {
        let mut notices = Vec::new();
        if let (true, Some(labels)) = (self.at_spaces, self.targets.joined()) {
            notices.push(Notice::SeparatedBySpaces { labels });
        }
        if let Some(first) = self.targets.first_repeated {
            notices.push(Notice::RepeatedRows {
                rows: self.targets.repeated,
                first: self.targets.path(first),
            });
        }
        if let (images, Some(first)) = self.targets.without_labels() {
            notices.push(Notice::WithoutLabels { images, first });
        }
        if let (images, Some(first)) = self.targets.shared() {
            notices.push(Notice::SharedImages { images, first });
        }
        notices
    }

    /// Returns notices about the test rows if other rows are used for validation, and about the rows to be
    /// classified.
    fn unused_parts(&self) -> Vec<Notice> {
        let test = self.part(Role::Validation).zip(self.part(Role::Test));
        let test = test.map(|(val, test)| Notice::UnusedTest {
            name: test.to_owned(),
            val: val.to_owned(),
        });
        let unlabelled = self.part(Role::Unlabelled).map(|name| Notice::Ignored {
            name: name.to_owned(),
            reason: "not for training".to_owned(),
        });
        test.into_iter().chain(unlabelled).collect()
    }
}
