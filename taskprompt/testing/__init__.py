"""Checks for kinds, also for your own: each raises AssertionError with a one-line message."""

from taskprompt.testing.backbone import check_backbone as check_backbone
from taskprompt.testing.balancer import check_balancer as check_balancer
from taskprompt.testing.labeler import check_labeler as check_labeler
from taskprompt.testing.prompter import check_prompter as check_prompter
from taskprompt.testing.source import check_source as check_source
from taskprompt.testing.task import check_task as check_task
from taskprompt.testing.tracker import check_tracker as check_tracker
