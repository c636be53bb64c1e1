"""What a back-end cannot do, by test: the one place, with the reasons that skipped tests are given."""

import os

__all__ = ["reason_for"]

STATES = "keeps no states to go back to"
LIMITS = "watches neither memory, processor time nor disk"
OWN_OUTPUT = "sees what Python prints, not what children and descriptors get"
OWN_TRACEBACKS = "the kernel words its tracebacks itself"

NO_STATES = {
    "test_a_cell_that_swallows_the_interrupt_is_killed_and_the_state_before_it_is_back": STATES,
    "test_a_death_is_noticed_at_once_and_the_state_before_the_cell_is_back": STATES,
    "test_state_survives_a_death_after_the_first_cell_and_after_many": STATES,
    "test_garbage_on_our_socket_is_survived_and_the_state_is_back": STATES,
    "test_a_thread_that_stays_makes_recovery_replay_the_later_cells": STATES,
    "test_a_replay_that_differs_stops_and_says_what_is_missing": STATES,
    "test_tool_calls_are_answered_from_the_journal_in_a_replay": STATES,
    "test_checkpoint_and_restore": STATES,
    "test_a_long_session_keeps_its_states_and_its_room_for_processes": STATES,
    "test_variables_are_listed_without_running_what_hangs": STATES,
    "test_a_session_survives_a_restart": STATES,
    "test_a_helper_file_lives_inside_the_kernel": STATES,
    "test_random_numbers_do_not_repeat_after_going_back_unless_a_seed_was_chosen": STATES,
    "test_memory_over_the_limit_is_an_error_in_the_cell_or_a_kill_with_the_state_back": LIMITS,
    "test_children_together_are_held_to_the_memory_limit": LIMITS,
    "test_after_a_cell_that_filled_the_memory_the_next_ones_run_and_can_let_go_of_it": LIMITS,
    "test_a_cell_may_lower_its_own_memory_limit_for_the_cells_that_follow": LIMITS,
    "test_processor_time_is_limited": LIMITS,
    "test_files_over_the_size_limit_are_refused_with_an_error": LIMITS,
    "test_a_full_workspace_stops_the_cell": LIMITS,
    "test_a_workspace_full_of_nothing_stops_the_cell": LIMITS,
    "test_many_folders_can_be_read": "has no walls to open",
    "test_another_python_in_a_home_folder_runs_cells_with_nothing_installed_there": "does not choose the Python",
}

CANNOT = {
    "docker": {
        "test_another_python_in_a_home_folder_runs_cells_with_nothing_installed_there": "the image decides on the Python",
    },
    "inprocess": {
        **NO_STATES,
        "test_variables_are_listed_without_running_what_hangs": "runs no repr of the user's for the table",
        "test_prints_errors_displays_and_children_keep_their_order": OWN_OUTPUT,
        "test_a_flood_of_a_child_process_is_cut_too": OWN_OUTPUT,
        "test_invalid_utf8_is_shown_as_far_as_it_can_be": OWN_OUTPUT,
        "test_background_output_does_not_break_the_next_cell": OWN_OUTPUT,
        "test_after_vandalism_the_next_cell_works": "a cell that breaks the process breaks the program",
        "test_the_environment_is_scrubbed": "the environment is the program's",
        "test_a_daemon_is_gone_when_the_session_ends": "children are the program's",
        "test_modules_of_the_workspace_can_be_imported": "sys.path is the program's",
        "test_a_fresh_workspace_is_removed_at_the_end": "works in the program's folder",
    },
    "jupyter": {
        **NO_STATES,
        "test_a_traceback_is_a_result_and_shows_the_users_frames_only": OWN_TRACEBACKS,
        "test_after_vandalism_the_next_cell_works": "a kernel does not repair itself",
        "test_prints_errors_displays_and_children_keep_their_order": "a kernel reads its streams and its children's apart",
        "test_reading_stdin_says_what_to_do_instead": "a kernel's sys.stdin is empty; input() does say so",
        "test_main_is_main_classes_pickle_and_source_is_found": "a kernel does not know the source of its classes",
        "test_a_daemon_is_gone_when_the_session_ends": "does not end what left the kernel's process group",
    },
}
CANNOT["gateway"] = CANNOT["jupyter"] | {
    "test_files_created_and_changed_are_named": "does not see the kernel's files",
    "test_a_folder_of_the_users_is_worked_in": "works in a folder of its own",
    "test_a_fresh_workspace_is_removed_at_the_end": "works in a folder of its own",
    "test_a_flood_costs_neither_memory_nor_time": "a gateway leaves output out by a limit of its own",
    "test_a_flood_of_a_child_process_is_cut_too": "a gateway leaves output out by a limit of its own",
}


# The stand-in for Docker shows a folder as it is: another user cannot reach pytest's, which are root's
AS_ROOT = dict.fromkeys(["test_a_folder_of_the_users_is_worked_in", "test_many_folders_can_be_read"], "root's folders are root's alone")


def reason_for(backend: str, test: str) -> str:
    """Why this test is not for this back-end; empty when it is."""
    if backend == "docker" and os.getuid() == 0 and test in AS_ROOT:
        return AS_ROOT[test]
    return CANNOT.get(backend, {}).get(test, "")
