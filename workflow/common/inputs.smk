# Input files as the stages take them on their command line.

# Linux takes arguments of at most 128 KiB, and a rule's shell command is one; some 1,500 files fill it.
LONGEST = 2**15


def named_inputs(wildcards, input):
    """``--input name=files`` for every named input; long lists go through a file."""
    groups = []
    for name, files in input.items():
        files = [files] if isinstance(files, str) else [str(path) for path in files]
        if sum(map(len, files)) > LONGEST:
            files = [f"@{listed(wildcards.scale, files)}"]
        groups.append("--input " + shlex.join([f"{name}={''.join(files[:1])}", *files[1:]]))
    return " ".join(groups)


def listed(scale, lines):
    """A file of these lines; its own name follows from what it holds."""
    text = "\n".join(lines)
    path = Path(f"results/{scale}/lists/{hashlib.sha256(text.encode()).hexdigest()[:16]}.txt")
    if not workflow.dryrun and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(text)
        part.replace(path)
    return path


def folder_of(source):
    """A data folder given in the config, as an input; nothing for embedded data."""
    return [] if source == "embedded" else [source]


def ready(path):
    """The file that says that a data set is whole: of a folder, the manifest, which is written last."""
    return path if Path(path).suffix else f"{path}/manifest.json"
