"""The study of tuned losses: does focal loss help when each loss is tuned with the same budget?"""
