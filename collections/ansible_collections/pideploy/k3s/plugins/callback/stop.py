# SPDX-FileCopyrightText: 2026 The pideploy authors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: stop
type: notification
short_description: End a run at the next play when a file says so
version_added: 0.1.0
author:
  - The pideploy authors (@pideploy)
description:
  - Ends C(ansible-playbook) with exit status 130 before a play begins, if the file of O(stop_file) exists by then.
  - No module is cut off on a host, so that the next run goes on where this one ended.
  - It is a stop for a whole phase of C(pideploy.k3s.site); a play that has begun runs to its end.
requirements:
  - C(pideploy.k3s.stop) listed in C(callbacks_enabled).
options:
  stop_file:
    description:
      - Path of the file. Nothing happens while it does not exist, or when this is not set.
    type: path
    env:
      - name: PIDEPLOY_STOP_FILE
    ini:
      - section: callback_pideploy_stop
        key: stop_file
"""

EXAMPLES = r"""
# In one terminal:
#   ANSIBLE_CALLBACKS_ENABLED=pideploy.k3s.stop PIDEPLOY_STOP_FILE=/tmp/stop ansible-playbook pideploy.k3s.site
# In another, to end the run before its next play:
#   touch /tmp/stop
"""

import os

from ansible.plugins.callback import CallbackBase

STOPPED = 130


class CallbackModule(CallbackBase):
    """Stops between plays."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "pideploy.k3s.stop"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_play_start(self, play):
        stop_file = self.get_option("stop_file")
        if stop_file and os.path.exists(stop_file):
            self._display.display("Stopped before play '%s': %s exists." % (play.get_name(), stop_file))
            # Ansible turns every Exception of a callback into a warning; this is none, and so it ends the run.
            raise SystemExit(STOPPED)
