-- What inferno.db is made of with schema 3, as it was released. It never changes: a new schema has a file of its own.
PRAGMA application_id=1231971954;
PRAGMA user_version=3;
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
CREATE TABLE published_ports (
  vm TEXT NOT NULL REFERENCES vms (name) ON DELETE CASCADE,
  address INTEGER NOT NULL CHECK (address BETWEEN 0 AND 4294967295),
  protocol INTEGER NOT NULL CHECK (protocol IN (6, 17)),
  host_port INTEGER NOT NULL CHECK (host_port BETWEEN 1 AND 65535),
  guest_port INTEGER NOT NULL CHECK (guest_port BETWEEN 1 AND 65535),
  PRIMARY KEY (host_port, protocol, address)) STRICT;
INSERT INTO "published_ports" VALUES('web1',0,6,8080,80);
CREATE TABLE versions (
  ulid TEXT NOT NULL PRIMARY KEY CHECK (length(ulid) = 26),
  vm TEXT NOT NULL REFERENCES vms (name) ON DELETE CASCADE,
  digest TEXT NOT NULL CHECK (length(digest) = 64),
  image_digest TEXT NOT NULL,
  created_usec INTEGER NOT NULL) STRICT;
INSERT INTO "versions" VALUES('01ARZ3NDEKTSV4RRFFQ69G5FAV','web1','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',1700000000000002);
CREATE TABLE volume_attachments (
  volume TEXT NOT NULL REFERENCES volumes (name),
  vm TEXT NOT NULL REFERENCES vms (name) ON DELETE CASCADE,
  read_only INTEGER NOT NULL CHECK (read_only IN (0, 1)),
  PRIMARY KEY (volume, vm)) STRICT;
INSERT INTO "volume_attachments" VALUES('data1','db',0);
CREATE TABLE volume_snapshots (
  volume TEXT NOT NULL REFERENCES volumes (name),
  name TEXT NOT NULL,
  size INTEGER NOT NULL CHECK (size > 0),
  created_usec INTEGER NOT NULL,
  PRIMARY KEY (volume, name)) STRICT;
INSERT INTO "volume_snapshots" VALUES('data1','monday',16777216,1700000000000005);
CREATE TABLE volumes (
  name TEXT NOT NULL PRIMARY KEY,
  backend TEXT NOT NULL CHECK (backend IN ('file', 'lvm-thin')),
  size INTEGER NOT NULL CHECK (size > 0),
  ready INTEGER NOT NULL CHECK (ready IN (0, 1)),
  luks_uuid TEXT,
  luks_cipher TEXT,
  luks_key_bytes INTEGER,
  label TEXT NOT NULL,
  created_usec INTEGER NOT NULL) STRICT;
INSERT INTO "volumes" VALUES('data1','file',16777216,1,NULL,NULL,NULL,'db',1700000000000004);
CREATE TABLE vms (
  name TEXT NOT NULL PRIMARY KEY,
  uid INTEGER NOT NULL UNIQUE CHECK (uid > 0),
  created_usec INTEGER NOT NULL) STRICT;
INSERT INTO "vms" VALUES('web1',5000,1700000000000000);
INSERT INTO "vms" VALUES('db',5001,1700000000000001);
CREATE INDEX published_ports_by_vm ON published_ports (vm);
CREATE INDEX versions_by_vm ON versions (vm, ulid);
COMMIT;
