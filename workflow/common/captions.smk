# Captions of Snakemake's own report (`snakemake --report`): those of the page, by file.


def section_captions():
    """``figures/<name>`` or ``tables/<name>.parquet`` -> title and caption, as reStructuredText."""
    found = {}
    for path in sorted((ROOT / "workflow/studies").glob("*/page.yaml")):
        section = read_yaml(path)
        for shown in section["figures"] + section["tables"]:
            plain = {name: re.sub(r"([\\*`|_])", r"\\\1", shown[name]) for name in ("title", "caption")}
            found[shown["file"]] = "**{title}.** {caption}".format(**plain)
    return found


# Caption templates see the config and nothing else of a workflow; no rule reads this.
config["captions"] = section_captions()
