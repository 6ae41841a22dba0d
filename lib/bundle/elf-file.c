/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "bundle/elf-file.h"

enum {
        SEGMENTS_MAX = 512,
        DYNAMIC_MAX = 8192,             /* entries */
        STRING_LENGTH_MAX = 4096,
        NEEDED_MAX = 512,
};

typedef struct Reader {
        int fd;
        uint64_t size;
        Elf64_Phdr segments[SEGMENTS_MAX];
        size_t n_segments;
        const char *why;
} Reader;

ElfFile *elf_file_free(ElfFile *e) {
        if (!e)
                return NULL;
        free(e->interpreter);
        free(e->rpath);
        free(e->runpath);
        strv_free(e->needed);
        free(e);
        return NULL;
}

const char *elf_machine_description(unsigned machine) {
        switch (machine) {
        case EM_X86_64:
                return "an ELF file for x86-64";
        case EM_386:
                return "an ELF file for i386";
        case EM_AARCH64:
                return "an ELF file for AArch64";
        case EM_ARM:
                return "an ELF file for 32-bit ARM";
        case EM_RISCV:
                return "an ELF file for RISC-V";
        case EM_PPC64:
                return "an ELF file for POWER";
        case EM_S390:
                return "an ELF file for IBM Z";
        default:
                return "an ELF file for another machine";
        }
}

static int malformed(Reader *r, const char *why) {
        r->why = why;
        return -EBADMSG;
}

/* All n bytes at the offset, which must be in the file. */
static int read_at(Reader *reader, uint64_t offset, void *buf, size_t n) {
        uint64_t end;

        if (__builtin_add_overflow(offset, (uint64_t) n, &end) || end > reader->size)
                return malformed(reader, "a part of it is behind its end");
        for (size_t done = 0; done < n;) {
                ssize_t k = pread(reader->fd, (char *) buf + done, n - done, (off_t) (offset + done));

                if (k < 0) {
                        if (errno == EINTR)
                                continue;
                        return negative_errno();
                }
                if (k == 0)
                        return malformed(reader, "it became shorter");
                done += (size_t) k;
        }
        return 0;
}

/* Where in the file an address of the loaded program is, and how many bytes of its segment follow there. */
static int address_to_offset(Reader *reader, uint64_t address, uint64_t *ret, uint64_t *ret_room) {
        for (size_t i = 0; i < reader->n_segments; i++) {
                const Elf64_Phdr *p = reader->segments + i;

                if (p->p_type != PT_LOAD || address < p->p_vaddr || address - p->p_vaddr >= p->p_filesz)
                        continue;
                if (__builtin_add_overflow(p->p_offset, address - p->p_vaddr, ret))
                        break;
                *ret_room = p->p_filesz - (address - p->p_vaddr);
                return 0;
        }
        return malformed(reader, "an address in it belongs to no segment");
}

/* A string that must end within `room` bytes. */
static int read_string(Reader *reader, uint64_t offset, uint64_t room, char **ret) {
        char buf[STRING_LENGTH_MAX + 1];
        size_t n;
        int r;

        if (offset >= reader->size)
                return malformed(reader, "a string is behind its end");
        room = MIN(room, reader->size - offset);
        n = (size_t) MIN(room, (uint64_t) sizeof(buf));
        r = read_at(reader, offset, buf, n);
        if (r < 0)
                return r;
        if (!memchr(buf, 0, n))
                return malformed(reader, "a string has no end");
        /* None of the paths that we write down may hold a line break. */
        for (const char *p = buf; *p; p++)
                if ((unsigned char) *p < ' ')
                        return malformed(reader, "a string has control characters");
        *ret = strdup(buf);
        return *ret ? 0 : -ENOMEM;
}

typedef struct StringTable {
        uint64_t offset, size;
} StringTable;

static int read_table_string(Reader *reader, const StringTable *t, uint64_t index, char **ret) {
        char *s;
        int r;

        if (index >= t->size)
                return malformed(reader, "a string is outside of the string table");
        r = read_string(reader, t->offset + index, t->size - index, &s);
        if (r < 0)
                return r;
        free(*ret);
        *ret = s;
        return 0;
}

/* The header of a file that is none for us; e_type and e_machine are at the same place in all classes. */
static int unfit(Reader *reader, const Elf64_Ehdr *h) {
        bool swapped = h->e_ident[EI_DATA] != (__BYTE_ORDER == __LITTLE_ENDIAN ? ELFDATA2LSB : ELFDATA2MSB);
        unsigned machine = swapped ? __builtin_bswap16(h->e_machine) : h->e_machine;

        if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0)
                reader->why = "no ELF file";
        else if (machine != ELF_MACHINE)
                reader->why = elf_machine_description(machine);
        else if (h->e_ident[EI_CLASS] != ELFCLASS64)
                reader->why = "an ELF file that is not for 64 bits";
        else
                reader->why = "an ELF file, but neither program nor library";
        return -ENOEXEC;
}

static int read_dynamic(Reader *reader, const Elf64_Phdr *segment, ElfFile *e) {
        size_t n = segment->p_filesz / sizeof(Elf64_Dyn), n_needed = 0;
        uint64_t table_address = 0, room;
        _cleanup_free_ Elf64_Dyn *dynamic = NULL;
        bool have_table = false;
        StringTable table = {};
        int r;

        if (n > DYNAMIC_MAX)
                return malformed(reader, "its dynamic section is too large");
        dynamic = calloc(MAX(n, (size_t) 1), sizeof(Elf64_Dyn));
        if (!dynamic)
                return -ENOMEM;
        r = read_at(reader, segment->p_offset, dynamic, n * sizeof(Elf64_Dyn));
        if (r < 0)
                return r;

        for (size_t i = 0; i < n && dynamic[i].d_tag != DT_NULL; i++)
                if (dynamic[i].d_tag == DT_STRTAB) {
                        table_address = dynamic[i].d_un.d_ptr;
                        have_table = true;
                } else if (dynamic[i].d_tag == DT_STRSZ)
                        table.size = dynamic[i].d_un.d_val;
        if (have_table) {
                r = address_to_offset(reader, table_address, &table.offset, &room);
                if (r < 0)
                        return r;
                table.size = MIN(table.size, room);
        }

        for (size_t i = 0; i < n && dynamic[i].d_tag != DT_NULL; i++) {
                uint64_t index = dynamic[i].d_un.d_val;
                char *name = NULL;

                switch (dynamic[i].d_tag) {
                case DT_NEEDED:
                        if (++n_needed > NEEDED_MAX)
                                return malformed(reader, "it needs too many libraries");
                        r = read_table_string(reader, &table, index, &name);
                        if (r >= 0)
                                r = strv_consume(&e->needed, name);
                        break;
                case DT_RPATH:
                        r = read_table_string(reader, &table, index, &e->rpath);
                        break;
                case DT_RUNPATH:
                        r = read_table_string(reader, &table, index, &e->runpath);
                        break;
                default:
                        r = 0;
                }
                if (r < 0)
                        return r;
        }
        e->dynamic = true;
        return 0;
}

static int read_all(Reader *reader, ElfFile *e) {
        const Elf64_Phdr *interpreter = NULL, *dynamic = NULL;
        Elf64_Ehdr h;
        struct stat st;
        int r;

        if (fstat(reader->fd, &st) < 0)
                return negative_errno();
        if (!S_ISREG(st.st_mode) || (uint64_t) st.st_size < sizeof(h)) {
                reader->why = "no ELF file";
                return -ENOEXEC;
        }
        reader->size = (uint64_t) st.st_size;
        r = read_at(reader, 0, &h, sizeof(h));
        if (r < 0)
                return r;
        if (memcmp(h.e_ident, ELFMAG, SELFMAG) != 0 || h.e_ident[EI_CLASS] != ELFCLASS64 ||
            h.e_ident[EI_DATA] != (__BYTE_ORDER == __LITTLE_ENDIAN ? ELFDATA2LSB : ELFDATA2MSB) ||
            (h.e_type != ET_EXEC && h.e_type != ET_DYN))
                return unfit(reader, &h);
        if (h.e_phnum > SEGMENTS_MAX || (h.e_phnum > 0 && h.e_phentsize != sizeof(Elf64_Phdr)))
                return malformed(reader, "its program headers are not what they should be");
        e->machine = h.e_machine;
        r = read_at(reader, h.e_phoff, reader->segments, h.e_phnum * sizeof(Elf64_Phdr));
        if (r < 0)
                return r;
        reader->n_segments = h.e_phnum;

        for (size_t i = 0; i < reader->n_segments; i++)
                if (reader->segments[i].p_type == PT_INTERP)
                        interpreter = reader->segments + i;
                else if (reader->segments[i].p_type == PT_DYNAMIC)
                        dynamic = reader->segments + i;
        if (interpreter) {
                r = read_string(reader, interpreter->p_offset, interpreter->p_filesz, &e->interpreter);
                if (r < 0)
                        return r;
        }
        return dynamic ? read_dynamic(reader, dynamic, e) : 0;
}

int elf_file_read(int fd, ElfFile **ret, const char **ret_why) {
        _cleanup_(elf_file_freep) ElfFile *e = calloc(1, sizeof(ElfFile));
        _cleanup_free_ Reader *reader = calloc(1, sizeof(Reader));
        int r;

        if (!e || !reader)
                return -ENOMEM;
        reader->fd = fd;
        r = read_all(reader, e);
        if (r < 0) {
                *ret_why = reader->why;
                return r;
        }
        *ret = TAKE_PTR(e);
        return 0;
}
