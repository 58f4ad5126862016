-- Folders: a name that a person gives to some of their threads. A folder is there as long as a thread is in it.

alter table threads
    add column folder text check (char_length(folder) between 1 and 60 and folder !~ '[[:cntrl:]]');
comment on column threads.folder is 'the name of the folder that its person put it into';
-- The threads of one folder, newest first, and the names of all folders.
create index threads_by_folder on threads (user_id, profile, folder, updated_at desc, id desc)
    where folder is not null and not hidden;
