"""beet similar QUERY: what in the library of beets sounds like a track.

In the configuration of beets:

    pluginpath: /where/this/folder/is/beetsplug
    plugins: solfa
    solfa:
        command: solfa              # or how it is called
        library: ~/music.sqlite     # yours if left out

    beet similar artist:bach title:air
    beet similar -n 20 -p -f '$path' kerberos > like_kerberos.m3u

It runs the command solfa, so that beets needs none of its packages.
"""

import json
import shlex
import subprocess

from beets import config, ui, util
from beets.dbcore.query import MatchQuery
from beets.plugins import BeetsPlugin


class SolfaPlugin(BeetsPlugin):
    """Adds the command similar."""

    def __init__(self):
        super().__init__()
        self.config.add({"command": "solfa", "library": ""})

    def commands(self):
        """The command similar with its options."""
        command = ui.Subcommand("similar", help="list what sounds like a track")
        command.parser.add_option("-n", "--number", type="int", default=10, help="at most so many (10)")
        command.parser.add_path_option()
        command.parser.add_format_option()
        command.func = self.similar
        return [command]

    def similar(self, library, options, words):
        """Print the items that sound like the one that a query finds."""
        found = list(library.items(words))
        if len(found) != 1:
            lines = "".join(f"\n  {item}" for item in found[:10])
            raise ui.UserError(f"{len(found)} tracks match. Ask for one of them, such as title:NAME.{lines}")
        for match in self._matches(util.syspath(found[0].path), options.number):
            for item in library.items(MatchQuery("path", util.bytestring_path(match["path"]))):
                ui.print_(format(item, config["format_item"].as_str()))

    def _matches(self, path, number):
        """What the command solfa finds for a file, best first."""
        words = [*shlex.split(self.config["command"].as_str()), "similar", path, "--n", str(number), "--json"]
        if self.config["library"].get(str):
            words += ["--library", self.config["library"].as_filename()]
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=True)
        except FileNotFoundError as error:
            raise ui.UserError(
                f"{words[0]} is not there. Set solfa.command in {config.user_config_path()}."
            ) from error
        except subprocess.CalledProcessError as error:
            raise ui.UserError(f"solfa says: {error.stderr.strip()}") from error
        return json.loads(done.stdout)["matches"]
