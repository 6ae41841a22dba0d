-- What inferno.db is made of with schema 1, as it was released. It never changes: a new schema has a file of its own.
PRAGMA application_id=1231971954;
PRAGMA user_version=1;
BEGIN TRANSACTION;
CREATE TABLE images (
  reference TEXT NOT NULL PRIMARY KEY,
  manifest_digest TEXT NOT NULL,
  config_digest TEXT NOT NULL,
  rootfs TEXT NOT NULL,
  size INTEGER NOT NULL,
  created_usec INTEGER NOT NULL) STRICT;
INSERT INTO "images" VALUES('docker://docker.io/library/nginx:latest','sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.squashfs',4096,1700000000000003);
CREATE TABLE network_state (
  vm TEXT NOT NULL PRIMARY KEY REFERENCES vms (name) ON DELETE CASCADE,
  subnet INTEGER NOT NULL UNIQUE CHECK (subnet >= 0),
  active INTEGER NOT NULL DEFAULT 0 CHECK (active IN (0, 1))) STRICT;
INSERT INTO "network_state" VALUES('web1',3,1);
INSERT INTO "network_state" VALUES('db',0,0);
CREATE TABLE versions (
  ulid TEXT NOT NULL PRIMARY KEY CHECK (length(ulid) = 26),
  vm TEXT NOT NULL REFERENCES vms (name) ON DELETE CASCADE,
  digest TEXT NOT NULL CHECK (length(digest) = 64),
  image_digest TEXT NOT NULL,
  created_usec INTEGER NOT NULL) STRICT;
INSERT INTO "versions" VALUES('01ARZ3NDEKTSV4RRFFQ69G5FAV','web1','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',1700000000000002);
CREATE TABLE vms (
  name TEXT NOT NULL PRIMARY KEY,
  uid INTEGER NOT NULL UNIQUE CHECK (uid > 0),
  created_usec INTEGER NOT NULL) STRICT;
INSERT INTO "vms" VALUES('web1',5000,1700000000000000);
INSERT INTO "vms" VALUES('db',5001,1700000000000001);
CREATE INDEX versions_by_vm ON versions (vm, ulid);
COMMIT;
